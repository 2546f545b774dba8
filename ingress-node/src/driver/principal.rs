//! Who a device is, from what it proved, and which endpoints it may register.

use std::time::Duration;

use device_state::{CredentialId, Secret, SecurityIdentity};
use dtls::{CertifiedIdentity, SubjectNames};
use lwm2m::EndpointName;
use lwm2m_server::Principal;
use state_client::{ClearCredential, Client};

/// Names of a certificate that count as endpoint names. A take-over asks for the registration of each.
const MAX_ENDPOINTS: usize = 8;

/// Somebody with a credential of the state tier, and its secret. `None`: there is no such credential, or it cannot be
/// fetched now; the device tries again.
pub(super) async fn of_credential(
    client: &Client,
    id: CredentialId,
    timeout: Duration,
) -> Option<(Principal, Secret)> {
    let found = client.credential(&id, timeout).await;
    let credential = found
        .inspect_err(|error| tracing::debug!(%error, "credential cannot be fetched"))
        .ok()??;
    Some(with(id, credential))
}

/// Somebody with this credential.
pub(super) fn with(id: CredentialId, credential: ClearCredential) -> (Principal, Secret) {
    let principal = Principal {
        identity: SecurityIdentity::Credential(id),
        endpoints: vec![credential.endpoint],
    };
    (principal, credential.secret)
}

/// Somebody with a certificate of these names; `None` if none of them can be an endpoint name.
pub(super) fn of_certificate(names: Vec<String>) -> Option<Principal> {
    let valid = names.iter().filter_map(|name| EndpointName::new(name).ok());
    let endpoints: Vec<_> = valid.take(MAX_ENDPOINTS).collect();
    (!endpoints.is_empty()).then_some(Principal {
        identity: SecurityIdentity::CertificateNames(names),
        endpoints,
    })
}

/// Whom somebody claims to be with a certificate that proves nothing.
pub(super) fn claimed_by(certificate: &CertifiedIdentity) -> Option<EndpointName> {
    let principal = of_certificate(names_in_order(certificate.names.clone()))?;
    principal.endpoints.into_iter().next()
}

/// Somebody who was there before, as far as it is still to be believed.
pub(super) async fn again(
    client: &Client,
    identity: SecurityIdentity,
    timeout: Duration,
) -> Option<Principal> {
    match identity {
        SecurityIdentity::Unauthenticated => None,
        SecurityIdentity::CertificateNames(names) => of_certificate(names),
        SecurityIdentity::Credential(id) => {
            let found = of_credential(client, id, timeout).await;
            found.map(|(principal, _)| principal)
        }
    }
}

/// The names in a certificate, the one first that is registered where a device names none: its common name (LwM2M
/// Transport 1.2 §5.2.8.3), else a URI, as endpoint names are URNs (LwM2M Core 1.2 §7.3.1).
pub(super) fn names_in_order(names: SubjectNames) -> Vec<String> {
    let SubjectNames {
        common_name,
        dns_names,
        uris,
    } = names;
    common_name
        .into_iter()
        .chain(uris)
        .chain(dns_names)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_a_certificate_that_can_be_one_is_an_endpoint() {
        let names = names_in_order(SubjectNames {
            common_name: Some("meter-7".to_owned()),
            dns_names: vec!["meter-7.example.com".to_owned()],
            uris: vec!["urn:dev:ops:meter-7".to_owned()],
        });
        let principal = of_certificate(names).expect("three names");
        let endpoints: Vec<_> = principal
            .endpoints
            .iter()
            .map(EndpointName::as_str)
            .collect();
        assert_eq!(
            endpoints,
            ["meter-7", "urn:dev:ops:meter-7", "meter-7.example.com"]
        );
        assert_eq!(of_certificate(vec![String::new()]), None);
        assert_eq!(of_certificate(Vec::new()), None);
    }
}
