//! `/api/bootstrap`: Leshan's bootstrap configurations as bootstrap profiles, one for each endpoint.
//!
//! A profile says less than a configuration. What would change what the device gets is refused; what the cluster chooses
//! itself (keys and ids of instances) and what it leaves at the device's defaults is named in the answer under `ignored`.

mod config;

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use proto::drover::v1::{
    BootstrapProfile, DeleteBootstrapProfileRequest, ListBootstrapProfilesRequest,
    PutBootstrapProfileRequest,
};
use serde_json::{Map, Value as JsonValue, json};
use sha2::{Digest as _, Sha256};
use tonic::Code;

use self::config::Config;
use super::refusal::Refusal;
use super::shim::Shim;

/// What the names of profiles begin with that were made here.
const PREFIX: &str = "rest-";

type Handled = Result<Response, Refusal>;

/// `GET /api/bootstrap`
pub(super) async fn list(State(shim): State<Arc<Shim>>) -> Handled {
    let request = shim.api.request(ListBootstrapProfilesRequest {});
    let answer = shim.api.bootstrap().list_bootstrap_profiles(request).await;
    let profiles = answer?.into_inner().profiles.into_iter();
    let configs = profiles
        .filter(|profile| profile.name == name_of(&profile.endpoint_prefix))
        .map(|profile| (profile.endpoint_prefix, config::shown(&profile.servers)));
    Ok(Json(configs.collect::<Map<_, _>>()).into_response())
}

/// `POST /api/bootstrap/{endpoint}`
pub(super) async fn put(
    State(shim): State<Arc<Shim>>,
    UrlPath(endpoint): UrlPath<String>,
    content: Bytes,
) -> Handled {
    let config: Config = serde_json::from_slice(&content)
        .map_err(|error| Refusal::invalid(format!("the body: {error}")))?;
    let (servers, ignored) = config.translated().map_err(Refusal::invalid)?;
    let profile = BootstrapProfile {
        name: name_of(&endpoint),
        endpoint_prefix: endpoint,
        servers,
        access: Vec::new(),
        ..Default::default()
    };
    let name = profile.name.clone();
    let request = shim.api.request(PutBootstrapProfileRequest {
        profile: Some(profile),
        ..Default::default()
    });
    shim.api.bootstrap().put_bootstrap_profile(request).await?;
    let answer: JsonValue = json!({"profile": name, "ignored": ignored});
    Ok(Json(answer).into_response())
}

/// `DELETE /api/bootstrap/{endpoint}`
pub(super) async fn delete(
    State(shim): State<Arc<Shim>>,
    UrlPath(endpoint): UrlPath<String>,
) -> Handled {
    let name = name_of(&endpoint);
    let request = shim.api.request(DeleteBootstrapProfileRequest {
        name,
        ..Default::default()
    });
    let answer = shim.api.bootstrap().delete_bootstrap_profile(request).await;
    match answer {
        Ok(_) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(status) if status.code() == Code::NotFound => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            format!("no config for {endpoint}"),
        )),
        Err(status) => Err(status.into()),
    }
}

/// Names of profiles have fewer letters than names of endpoints.
fn name_of(endpoint: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(endpoint));
    digits.truncate(32);
    format!("{PREFIX}{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_has_a_name_that_the_api_takes() {
        let name = name_of("urn:imei:350457793217104");
        assert_eq!(name.len(), PREFIX.len() + 32);
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        );
        assert_ne!(name, name_of("urn:imei:350457793217105"));
    }
}
