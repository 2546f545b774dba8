//! Names in certificates.

use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use webpki::EndEntityCert;

/// A URI or a DNS name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    fn is_uri(&self) -> bool {
        self.0.contains("://")
    }
}

/// The subject alternative names of a certificate that can be told by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub uris: Vec<String>,
    pub dns: Vec<String>,
}

impl Names {
    /// Those of a certificate; none if it cannot be read.
    pub fn of_der(der: &[u8]) -> Self {
        Self::of(&CertificateDer::from(der))
    }

    /// Those of a certificate; none if it cannot be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok(certificate) = EndEntityCert::try_from(certificate) else {
            return Self::default();
        };
        Self {
            uris: certificate.valid_uri_names().map(str::to_owned).collect(),
            dns: certificate.valid_dns_names().map(str::to_owned).collect(),
        }
    }

    /// Whether one of them is one of `wanted`, letter by letter: a wildcard of a certificate says nothing about what its
    /// owner is.
    pub fn has_any(&self, wanted: &[Name]) -> bool {
        wanted.iter().any(|name| {
            if name.is_uri() {
                self.uris.contains(&name.0)
            } else {
                self.dns.iter().any(|dns| dns.eq_ignore_ascii_case(&name.0))
            }
        })
    }
}
