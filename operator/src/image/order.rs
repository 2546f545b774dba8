//! One image that is to be fetched: what it takes, and carrying it out.

use std::collections::BTreeMap;

use crd::firmware_image::{ImageSignature, SignatureType};
use crd::reference::{PublicKeyHolder, PublicKeyReference};
use crd::{FirmwareImage, Reason};
use device_state::{Artefact, Digest, Namespace};
use fleet_plan::Refusal;
use fleet_plan::image::title;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use package_source::{
    Credentials, Expected, FetchProblem, Fetcher, FetcherError, PublicKey, Signature, SignedBy,
    Source, Wanted, WantedError,
};

use crate::controller::{ReconcileError, Shared};
use crate::kubernetes::Kind;
use crate::state_tier::{CallError, StateTier};

/// The type of Secrets with the token of a ServiceAccount.
const SERVICE_ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";

/// An image that is to be fetched, checked and stored.
pub(crate) struct Order {
    namespace: Namespace,
    digest: Digest,
    title: String,
    wanted: Wanted,
}

/// Why an image is not in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(super) reason: Reason,
    pub(super) message: String,
}

/// What it takes to fetch an image, or what of it is missing.
pub(super) async fn order(
    image: &FirmwareImage,
    namespace: &Namespace,
    (source, digest): (&str, Digest),
    shared: &Shared<FirmwareImage>,
) -> Result<Result<Order, Refusal>, ReconcileError> {
    let spec = &image.spec;
    let credentials = match &spec.credentials_secret_ref {
        None => Ok(Credentials::default()),
        Some(secret) => credentials(namespace, &secret.name, shared).await?,
    };
    let key = match &spec.signature {
        None => Ok(None),
        Some(signature) => key(namespace, &signature.public_key_ref, shared)
            .await?
            .map(Some),
    };
    let made = || {
        let source = source.parse::<Source>();
        let signature = match (&spec.signature, key?) {
            (Some(signature), Some(key)) => Some(Signature {
                key,
                by: signed_by(signature)?,
            }),
            _ => None,
        };
        Ok(Order {
            namespace: namespace.clone(),
            digest,
            title: title(image),
            wanted: Wanted {
                source: source.map_err(|error| refused("spec.source", &error.to_string()))?,
                credentials: credentials?,
                expected: Expected {
                    size: u64::try_from(spec.size_bytes).ok(),
                    digest: Some(digest),
                    limit: Artefact::MAX_SIZE,
                },
                signature,
            },
        })
    };
    Ok(made())
}

async fn credentials(
    namespace: &Namespace,
    name: &str,
    shared: &Shared<FirmwareImage>,
) -> Result<Result<Credentials, Refusal>, ReconcileError> {
    const FIELD: &str = "spec.credentialsSecretRef";
    let unusable = |why: &str| {
        missing(
            FIELD,
            Reason::SecretNotFound,
            &format!("the Secret {name}: {why}"),
        )
    };
    let secret = match named::<Secret>(namespace, name, shared).await? {
        Ok(secret) => secret,
        Err(why) => return Ok(Err(unusable(why))),
    };
    let Some(secret) = secret else {
        return Ok(Err(missing(
            FIELD,
            Reason::SecretNotFound,
            &format!("there is no Secret {name} in the namespace"),
        )));
    };
    // Kubernetes makes it, for itself alone.
    if secret.type_.as_deref() == Some(SERVICE_ACCOUNT_TOKEN) {
        return Ok(Err(unusable(
            "the token of a ServiceAccount is given to nobody else",
        )));
    }
    let entries: BTreeMap<String, Vec<u8>> = secret
        .data
        .unwrap_or_default()
        .into_iter()
        .map(|(key, value)| (key, value.0))
        .collect();
    Ok(Credentials::from_entries(&entries).map_err(|error| unusable(&error.to_string())))
}

async fn key(
    namespace: &Namespace,
    reference: &PublicKeyReference,
    shared: &Shared<FirmwareImage>,
) -> Result<Result<PublicKey, Refusal>, ReconcileError> {
    let PublicKeyReference { kind, name, key } = reference;
    let unusable = |why: &str| {
        let what = format!("the {kind:?} {name}: {why}");
        missing("spec.signature.publicKeyRef", Reason::KeyNotFound, &what)
    };
    let found = match kind {
        PublicKeyHolder::ConfigMap => named::<ConfigMap>(namespace, name, shared)
            .await?
            .map(|holder| Some(holder?.data?.remove(key)?.into_bytes())),
        PublicKeyHolder::Secret => named::<Secret>(namespace, name, shared)
            .await?
            .map(|holder| Some(holder?.data?.remove(key)?.0)),
    };
    Ok(match found {
        Err(why) => Err(unusable(why)),
        Ok(None) => Err(unusable(&format!("it is not there, or has no {key}"))),
        Ok(Some(pem)) => PublicKey::from_pem(&String::from_utf8_lossy(&pem))
            .map_err(|error| unusable(&format!("{key}: {error}"))),
    })
}

/// What an image names, if it is there; or why the operator cannot tell.
async fn named<O: Kind>(
    namespace: &Namespace,
    name: &str,
    shared: &Shared<FirmwareImage>,
) -> Result<Result<Option<O>, &'static str>, ReconcileError> {
    match shared.read(Some(namespace.as_str()), name).await {
        Ok(found) => Ok(Ok(found)),
        Err(error) if error.is_forbidden() => Ok(Err("the operator may not get it")),
        Err(error) => Err(error),
    }
}

fn signed_by(signature: &ImageSignature) -> Result<SignedBy, Refusal> {
    match signature.kind {
        SignatureType::Cosign => Ok(SignedBy::Cosign),
        SignatureType::RawEd25519 => {
            let value = signature.value.as_deref().unwrap_or_default();
            let value = package_source::raw_signature(value);
            let value = value.map_err(|fault| refused("spec.signature.value", &fault.to_string()));
            value.map(SignedBy::Value)
        }
    }
}

fn refused(field: &str, why: &str) -> Refusal {
    missing(field, Reason::InvalidValue, why)
}

fn missing(field: &str, reason: Reason, why: &str) -> Refusal {
    Refusal {
        reason,
        message: format!("{field}: {why}"),
    }
}

/// Fetches it, checks it, and stores it: nobody sees a byte of what is not right.
pub(super) async fn carry_out(
    order: Order,
    fetcher: Result<&Fetcher, &FetcherError>,
    state_tier: &StateTier,
) -> Result<(), Failure> {
    let fetcher = fetcher.map_err(|error| Failure {
        reason: Reason::FetchFailed,
        message: format!("the operator {error}"),
    })?;
    let package = fetcher.fetch_wanted(&order.wanted).await;
    let package = package.map_err(|error| not_right(&error))?;
    let stored = state_tier.put_package(&order.namespace, (order.digest, &order.title), package);
    stored.await.map_err(|error| not_stored(&error))
}

fn not_right(error: &WantedError) -> Failure {
    let reason = match error {
        WantedError::Fetch(error) => match error.problem() {
            FetchProblem::Unreachable => Reason::FetchFailed,
            FetchProblem::Size => Reason::SizeMismatch,
            FetchProblem::Digest => Reason::DigestMismatch,
        },
        WantedError::Signature(error) if error.is_of_another_key() => Reason::UntrustedKey,
        WantedError::Signature(_) => Reason::SignatureInvalid,
    };
    // Whoever makes images is not told what lies where the operator looks and they do not.
    let message = match reason {
        Reason::DigestMismatch => {
            tracing::warn!(%error, "an image has another digest");
            "what lies there has another digest than spec.digest".to_owned()
        }
        _ => error.to_string(),
    };
    Failure { reason, message }
}

fn not_stored(error: &CallError) -> Failure {
    let reason = if error.is_about_room() {
        Reason::StorageFull
    } else {
        Reason::FetchFailed
    };
    Failure {
        reason,
        message: format!("it was fetched, and not stored: {error}"),
    }
}
