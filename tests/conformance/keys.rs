//! The keys of this lane: an authority, and what it signed.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    PublicKeyData,
};

/// An authority for the certificates of devices and of the server.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: Vec<u8>,
    pub(crate) certificate_pem: String,
}

/// A P-256 key and a certificate of the authority.
pub(crate) struct Identity {
    pub(crate) certificate: Vec<u8>,
    pub(crate) certificate_pem: String,
    /// PKCS #8.
    pub(crate) private_key: Vec<u8>,
    pub(crate) private_key_pem: String,
    /// SubjectPublicKeyInfo.
    pub(crate) public_key: Vec<u8>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = named("Conformance", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate: certificate.der().to_vec(),
            certificate_pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Signs a new key for a common name and these DNS names or addresses.
    pub(crate) fn issue(&self, name: &str, alternatives: &[&str]) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = named(name, alternatives);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            certificate: certificate.der().to_vec(),
            certificate_pem: certificate.pem(),
            private_key: key.serialize_der(),
            private_key_pem: key.serialize_pem(),
            public_key: key.subject_public_key_info(),
        }
    }
}

fn named(name: &str, alternatives: &[&str]) -> CertificateParams {
    let alternatives: Vec<String> = alternatives.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(alternatives).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
