//! `enrollment`: which devices may register, and as what.

use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};
use proto::drover::v1::enrollment_policy::{Action, Proof};
use proto::drover::v1::{
    DeleteEnrollmentPolicyRequest, EnrollmentPolicy, GetEnrollmentPolicyRequest,
    ListEnrollmentPoliciesRequest, PutEnrollmentPolicyRequest,
};

use crate::api::Api;
use crate::arguments::{Global, Once, Seen};
use crate::failure::Failure;
use crate::view::enrollment::{PoliciesView, PolicyView};

#[derive(Debug, Subcommand)]
pub(crate) enum Enrollment {
    /// Add a policy, or replace the one of its name.
    #[command(after_help = "\
Of the policies that are about a device the one of the highest priority decides, of several the one
whose name comes first. A device that no policy is about registers as ever. A change holds from the
next message of each device on: one about which it decides otherwise is told to register anew.

A device in quarantine is registered and can be read; no profile counts for it, and what would
change it waits until it is admitted.

Examples:
  drover enrollment put meters --pattern 'meter-[0-9]{4}' --label kind=meter --max-devices 5000
  drover enrollment put new --psk-prefix lab- --action quarantine --priority 10
  drover enrollment put nobody-else --action deny")]
    Put(Put),
    /// List policies.
    #[command(after_help = "\
DEVICES and QUARANTINED are registered devices; DENIED is how often the node that answers has refused
one since it started.

JSON: {\"policies\": [{\"name\", \"description\", \"priority\", \"endpointPattern\", \"pskIdentityPrefix\",
  \"action\", \"proof\", \"labels\", \"maxDevices\", \"registrationsPerSecond\", \"etag\", \"admitted\", \"quarantined\",
  \"denied\"}]}.")]
    List,
    /// Show a policy.
    #[command(after_help = "JSON: as one of `drover enrollment list`.")]
    Get {
        /// Name of the policy.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Remove a policy; others decide about its devices from their next message on.
    Remove {
        /// Name of the policy.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        seen: Seen,
        #[command(flatten)]
        once: Once,
    },
}

/// What becomes of a device.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Becomes {
    #[default]
    Admit,
    Quarantine,
    Deny,
}

impl From<Becomes> for Action {
    fn from(becomes: Becomes) -> Self {
        match becomes {
            Becomes::Admit => Self::Admit,
            Becomes::Quarantine => Self::Quarantine,
            Becomes::Deny => Self::Deny,
        }
    }
}

/// By what a device proves who it is.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProvedBy {
    /// A pre-shared key.
    Psk,
    /// A raw public key, or a certificate that is stored for the device.
    PublicKey,
    /// A certificate that an authority vouches for.
    Certificate,
    /// An OSCORE context.
    Oscore,
}

impl From<ProvedBy> for Proof {
    fn from(by: ProvedBy) -> Self {
        match by {
            ProvedBy::Psk => Self::Psk,
            ProvedBy::PublicKey => Self::PublicKey,
            ProvedBy::Certificate => Self::Certificate,
            ProvedBy::Oscore => Self::Oscore,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Put {
    /// Name of the policy: letters, digits and hyphens.
    #[arg(value_name = "NAME")]
    name: String,
    /// Only devices of whose endpoint name all is as this regular expression says.
    #[arg(
        long,
        value_name = "REGEX",
        default_value = "",
        hide_default_value = true
    )]
    pattern: String,
    /// Only devices with a pre-shared key whose identity begins so.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    psk_prefix: String,
    /// What becomes of them.
    #[arg(long, value_enum, default_value_t)]
    action: Becomes,
    /// By what they have to prove who they are: those that do by something else, or not at all, are denied.
    #[arg(long, value_enum)]
    proof: Option<ProvedBy>,
    /// The highest one decides, from 0 to 1000000.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    priority: u32,
    /// A label that they get, unless they have another value of it; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Register no more devices than these.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    max_devices: Option<u64>,
    /// Register no more new devices in a second at each state node; the others try again.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// What it is for.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    #[command(flatten)]
    seen: Seen,
    #[command(flatten)]
    once: Once,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Enrollment {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Put(put) => put.run(global).await,
            Self::List => list(global).await,
            Self::Get { name } => get(global, name).await,
            Self::Remove { name, seen, once } => {
                let api = Api::connect(global).await?;
                let action = format!("remove the enrollment policy {name}");
                let request = api.request(DeleteEnrollmentPolicyRequest {
                    name,
                    etag: seen.etag,
                    request_id: once.request_id,
                    validate_only: once.dry_run,
                });
                let answer = api.enrollment().delete_enrollment_policy(request).await;
                answer.map(drop).map_err(Failure::call(action))
            }
        }
    }
}

impl Put {
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let action = format!("put the enrollment policy {}", self.name);
        let api = Api::connect(global).await?;
        let request = api.request(PutEnrollmentPolicyRequest {
            request_id: self.once.request_id.clone(),
            validate_only: self.once.dry_run,
            policy: Some(self.policy()),
        });
        let answer = api.enrollment().put_enrollment_policy(request).await;
        let stored = answer.map_err(Failure::call(action))?.into_inner();
        global
            .output
            .show(&PolicyView::from(stored), |_| String::new())
    }

    fn policy(self) -> EnrollmentPolicy {
        EnrollmentPolicy {
            name: self.name,
            description: self.description,
            priority: self.priority,
            endpoint_pattern: self.pattern,
            psk_identity_prefix: self.psk_prefix,
            action: Action::from(self.action).into(),
            proof: self.proof.map_or(Proof::Unspecified, Proof::from).into(),
            labels: self.labels.into_iter().collect::<BTreeMap<_, _>>(),
            max_devices: self.max_devices.unwrap_or_default(),
            registrations_per_second: self.rate.unwrap_or_default(),
            etag: self.seen.etag,
            counts: None,
        }
    }
}

async fn list(global: &Global) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let request = api.request(ListEnrollmentPoliciesRequest {});
    let answer = api.enrollment().list_enrollment_policies(request).await;
    let answer = answer
        .map_err(Failure::call("list enrollment policies"))?
        .into_inner();
    let view = PoliciesView {
        policies: answer.policies.into_iter().map(PolicyView::from).collect(),
    };
    global.output.show(&view, PoliciesView::table)
}

async fn get(global: &Global, name: String) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let action = format!("get the enrollment policy {name}");
    let request = api.request(GetEnrollmentPolicyRequest { name });
    let answer = api.enrollment().get_enrollment_policy(request).await;
    let policy = answer.map_err(Failure::call(action))?.into_inner();
    global
        .output
        .show(&PolicyView::from(policy), PolicyView::text)
}
