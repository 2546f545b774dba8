//! Who the owner of a client certificate is. The one place that knows `x509-parser`.

use access::{Identity, Kind};
use node_runtime::tls::Names;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::refusal::CertificateRefusal;

/// The first URI or else DNS name of the certificate, or else its common name; its organisations are the groups.
pub(super) fn identity(der: &[u8]) -> Result<Identity, CertificateRefusal> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| CertificateRefusal::Unreadable)?;
    let subject = certificate.subject();
    let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        attribute.as_str().ok().map(str::to_owned)
    };
    let names = Names::of_der(der);
    let mut name = names.uris.into_iter().chain(names.dns);
    let name = name
        .next()
        .or_else(|| subject.iter_common_name().find_map(text))
        .filter(|name| !name.is_empty())
        .ok_or(CertificateRefusal::Nameless)?;
    let groups: Vec<String> = subject.iter_organization().filter_map(text).collect();
    // An authority for clients of this API must not make somebody an administrator of Kubernetes, who is asked by name.
    let is_reserved = |name: &String| name.starts_with("system:");
    if is_reserved(&name) || groups.iter().any(is_reserved) {
        return Err(CertificateRefusal::Reserved);
    }
    Ok(Identity::new(&name, groups, Kind::Certificate))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common: &str, groups: &str, uri: Option<&str>) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, text) in [
            (DnType::CommonName, common),
            (DnType::OrganizationName, groups),
        ] {
            if !text.is_empty() {
                params.distinguished_name.push(kind, text);
            }
        }
        let uri = uri.map(|uri| SanType::URI(uri.try_into().unwrap()));
        params.subject_alt_names.extend(uri);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        made.der().to_vec()
    }

    #[test]
    fn a_certificate_names_its_owner() {
        let found = identity(&certificate("alice", "ops", None)).unwrap();
        assert_eq!(
            (found.name.as_str(), found.groups[0].as_str()),
            ("alice", "ops")
        );
        let found = identity(&certificate("alice", "", Some("spiffe://x/ci"))).unwrap();
        assert_eq!(found.name, "spiffe://x/ci");
        assert_eq!(found.groups, ["system:authenticated"]);
        assert_eq!(
            identity(&certificate("", "", None)),
            Err(CertificateRefusal::Nameless)
        );
        let admin = certificate("alice", "system:masters", None);
        assert_eq!(identity(&admin), Err(CertificateRefusal::Reserved));
        assert_eq!(identity(b"junk"), Err(CertificateRefusal::Unreadable));
    }
}
