//! `/api/security/clients`: credentials of devices. Keys can be written and never read back.
//!
//! Leshan's two servers have a store each; a cluster has one. A device of Zephyr's suite shows the same PSK identity to
//! both, with two keys. The one given to the bootstrap API is kept then: at the management server a bootstrapped device
//! uses the key that the bootstrap made.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::response::{IntoResponse, Response};
use proto::drover::v1::credential_id::Kind;
use proto::drover::v1::put_credential_request::Credential as Secret;
use proto::drover::v1::{
    Credential, DeleteCredentialRequest, ListCredentialsRequest, OscoreContext, PreSharedKey,
    PutCredentialRequest,
};
use serde_json::{Value as JsonValue, json};
use tonic::Code;

use super::refusal::Refusal;
use super::shim::Shim;

/// The largest page that the API gives.
const PAGE: u32 = 1000;

type Handled = Result<Response, Refusal>;

/// `GET /api/security/clients`
pub(super) async fn list(State(shim): State<Arc<Shim>>) -> Handled {
    let credentials = all(&shim, "").await?;
    let shown: Vec<JsonValue> = credentials.into_iter().filter_map(shown).collect();
    Ok(Json(shown).into_response())
}

/// `PUT /api/security/clients` of the management API
pub(super) async fn put(State(shim): State<Arc<Shim>>, content: Bytes) -> Handled {
    let request = parsed(&content)?;
    if let Some(Secret::PreSharedKey(key)) = &request.credential
        && shim.is_for_bootstrap(&key.identity)
    {
        let message = "not stored: the device shows this identity to the bootstrap server, which makes it another \
                       key for the management server";
        return Ok(Json(json!({"message": message})).into_response());
    }
    store(&shim, request).await
}

/// `PUT /api/security/clients` of the bootstrap API
pub(super) async fn put_for_bootstrap(State(shim): State<Arc<Shim>>, content: Bytes) -> Handled {
    let request = parsed(&content)?;
    if let Some(Secret::PreSharedKey(key)) = &request.credential {
        shim.claim_for_bootstrap(key.identity.clone(), &request.endpoint);
    }
    store(&shim, request).await
}

/// `DELETE /api/security/clients/{endpoint}`: all credentials of a device.
pub(super) async fn delete(
    State(shim): State<Arc<Shim>>,
    UrlPath(endpoint): UrlPath<String>,
) -> Handled {
    shim.release_for_bootstrap(&endpoint);
    let credentials = all(&shim, &endpoint).await?;
    if credentials.is_empty() {
        return Ok(Json(json!({"message": "not_found"})).into_response());
    }
    for credential in credentials {
        let request = DeleteCredentialRequest {
            id: credential.id,
            ..Default::default()
        };
        let request = shim.api.request(request);
        match shim.api.credentials().delete_credential(request).await {
            // Whoever removed it meanwhile wanted the same.
            Err(status) if status.code() != Code::NotFound => return Err(status.into()),
            _ => {}
        }
    }
    Ok(().into_response())
}

fn parsed(content: &Bytes) -> Result<PutCredentialRequest, Refusal> {
    let json = serde_json::from_slice(content);
    let json = json.map_err(|error| Refusal::invalid(format!("the body: {error}")))?;
    credential(&json).map_err(Refusal::invalid)
}

async fn store(shim: &Shim, request: PutCredentialRequest) -> Handled {
    let request = shim.api.request(request);
    shim.api.credentials().put_credential(request).await?;
    Ok(().into_response())
}

async fn all(shim: &Shim, endpoint: &str) -> Result<Vec<Credential>, Refusal> {
    let mut credentials = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListCredentialsRequest {
            endpoint: endpoint.to_owned(),
            page_size: PAGE,
            page_token,
        };
        let request = shim.api.request(request);
        let answer = shim.api.credentials().list_credentials(request).await;
        let page = answer?.into_inner();
        credentials.extend(page.credentials);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(credentials);
        }
    }
}

/// Leshan's security information as a credential. Errors never repeat what may be a key.
fn credential(info: &JsonValue) -> Result<PutCredentialRequest, String> {
    let endpoint = text(info, "endpoint")?.to_owned();
    let secret = match (info.get("tls"), info.get("oscore")) {
        (Some(tls), _) => {
            let details = tls.get("details").unwrap_or(&JsonValue::Null);
            match text(tls, "mode")? {
                "psk" => Secret::PreSharedKey(PreSharedKey {
                    identity: text(details, "identity")?.as_bytes().to_vec(),
                    key: bytes(details, "key")?,
                }),
                "rpk" => Secret::PublicKey(bytes(details, "key")?),
                "x509" => {
                    return Err(
                        "a device with a certificate of a trusted issuer needs no entry: its endpoint name is a \
                         name in the certificate"
                            .to_owned(),
                    );
                }
                mode => return Err(format!("tls.mode \"{mode}\" is not psk, rpk or x509")),
            }
        }
        // Leshan's recipient is the device.
        (None, Some(oscore)) => Secret::Oscore(OscoreContext {
            client_id: bytes(oscore, "rid")?,
            server_id: bytes(oscore, "sid")?,
            master_secret: bytes(oscore, "msec")?,
            master_salt: Vec::new(),
            id_context: None,
        }),
        (None, None) => return Err("neither \"tls\" nor \"oscore\" is given".to_owned()),
    };
    Ok(PutCredentialRequest {
        endpoint,
        credential: Some(secret),
        ..Default::default()
    })
}

fn text<'a>(object: &'a JsonValue, name: &str) -> Result<&'a str, String> {
    let found = object.get(name).and_then(JsonValue::as_str);
    found.ok_or_else(|| format!("\"{name}\" is missing or no text"))
}

fn bytes(object: &JsonValue, name: &str) -> Result<Vec<u8>, String> {
    hex::decode(text(object, name)?).map_err(|_| format!("\"{name}\" is not hexadecimal"))
}

/// A credential as Leshan shows it, without its secret.
fn shown(credential: Credential) -> Option<JsonValue> {
    let endpoint = credential.endpoint;
    Some(match credential.id?.kind? {
        Kind::PskIdentity(identity) => {
            let identity = String::from_utf8_lossy(&identity);
            json!({"endpoint": endpoint, "tls": {"mode": "psk", "details": {"identity": identity}}})
        }
        Kind::PublicKeyFingerprint(hash) => {
            let hash = hex::encode(hash);
            json!({"endpoint": endpoint, "tls": {"mode": "rpk", "details": {"sha256": hash}}})
        }
        Kind::OscoreClientId(id) => {
            json!({"endpoint": endpoint, "oscore": {"rid": hex::encode(id)}})
        }
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use proto::drover::v1::CredentialId;

    use super::*;

    #[test]
    fn the_suites_psk_device_is_a_credential() {
        let body = r#"{"endpoint":"client_0a","tls":{"mode":"psk","details":{"identity":"client_0a","key":"6b6579"} } }"#;
        let request = parsed(&Bytes::from_static(body.as_bytes())).unwrap();
        assert_eq!(request.endpoint, "client_0a");
        let expected = Secret::PreSharedKey(PreSharedKey {
            identity: b"client_0a".to_vec(),
            key: b"key".to_vec(),
        });
        assert_eq!(request.credential, Some(expected));
    }

    #[test]
    fn public_keys_and_oscore_contexts_are_taken() {
        let rpk = json!({"endpoint": "a", "tls": {"mode": "rpk", "details": {"key": "30"}}});
        let secret = credential(&rpk).unwrap().credential;
        assert_eq!(secret, Some(Secret::PublicKey(vec![0x30])));
        let oscore = json!({"endpoint": "a", "oscore": {"rid": "01", "sid": "02", "msec": "03"}});
        let Some(Secret::Oscore(context)) = credential(&oscore).unwrap().credential else {
            panic!("no context");
        };
        assert_eq!((context.client_id, context.server_id), (vec![1], vec![2]));
    }

    #[test]
    fn errors_say_why_and_repeat_no_key() {
        let psk = |key: &str| json!({"endpoint": "a", "tls": {"mode": "psk", "details": {"identity": "a", "key": key}}});
        let error = credential(&psk("secret")).unwrap_err();
        assert!(
            error.contains("hexadecimal") && !error.contains("secret"),
            "{error}"
        );
        let x509 = json!({"endpoint": "a", "tls": {"mode": "x509"}});
        assert!(credential(&x509).unwrap_err().contains("certificate"));
        assert!(credential(&json!({"endpoint": "a"})).is_err());
        assert!(credential(&json!({"tls": {"mode": "psk"}})).is_err());
    }

    #[test]
    fn a_credential_is_shown_without_its_key() {
        let psk = Credential {
            endpoint: "a".to_owned(),
            create_time: None,
            id: Some(CredentialId {
                kind: Some(Kind::PskIdentity(b"id".to_vec())),
            }),
            ..Credential::default()
        };
        let expected =
            json!({"endpoint": "a", "tls": {"mode": "psk", "details": {"identity": "id"}}});
        assert_eq!(shown(psk), Some(expected));
    }
}
