//! Enrollment policies.

use std::collections::BTreeMap;

use proto::drover::v1::EnrollmentPolicy;
use proto::drover::v1::enrollment_policy::{Action, Proof};
use serde::Serialize;

use crate::table::{self, printable};

/// A policy and how many devices are registered by it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyView {
    name: String,
    description: String,
    priority: u32,
    endpoint_pattern: String,
    psk_identity_prefix: String,
    /// `Admit`, `Quarantine` or `Deny`.
    action: &'static str,
    /// `PSK`, `PublicKey`, `Certificate` or `OSCORE`.
    proof: Option<&'static str>,
    labels: BTreeMap<String, String>,
    max_devices: Option<u64>,
    registrations_per_second: Option<u32>,
    etag: String,
    admitted: u64,
    quarantined: u64,
    denied: u64,
}

impl From<EnrollmentPolicy> for PolicyView {
    fn from(policy: EnrollmentPolicy) -> Self {
        let counts = policy.counts.unwrap_or_default();
        let action = match policy.action() {
            Action::Admit | Action::Unspecified => "Admit",
            Action::Quarantine => "Quarantine",
            Action::Deny => "Deny",
        };
        let proof = match policy.proof() {
            Proof::Unspecified => None,
            Proof::Psk => Some("PSK"),
            Proof::PublicKey => Some("PublicKey"),
            Proof::Certificate => Some("Certificate"),
            Proof::Oscore => Some("OSCORE"),
        };
        Self {
            action,
            proof,
            name: policy.name,
            description: policy.description,
            priority: policy.priority,
            endpoint_pattern: policy.endpoint_pattern,
            psk_identity_prefix: policy.psk_identity_prefix,
            labels: policy.labels,
            max_devices: Some(policy.max_devices).filter(|most| *most > 0),
            registrations_per_second: Some(policy.registrations_per_second)
                .filter(|most| *most > 0),
            etag: policy.etag,
            admitted: counts.admitted,
            quarantined: counts.quarantined,
            denied: counts.denied,
        }
    }
}

impl PolicyView {
    pub(crate) fn text(&self) -> String {
        let labels: Vec<String> = self
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let most = self.max_devices.map(|most| most.to_string());
        let rate = self.registrations_per_second;
        let rate = rate.map(|rate| format!("{rate} a second"));
        format!(
            "Name:         {}\nDescription:  {}\nPriority:     {}\nEndpoints:    {}\nIdentities:   {}\n\
             Proof:        {}\nAction:       {}\nLabels:       {}\nAt most:      {}\nNew ones:     {}\n\
             Devices:      {} admitted, {} quarantined, {} denied\n",
            self.name,
            shown(&printable(&self.description), "-"),
            self.priority,
            shown(&printable(&self.endpoint_pattern), "any"),
            self.identities(),
            self.proof.unwrap_or("any"),
            self.action,
            shown(&labels.join(", "), "-"),
            most.as_deref().unwrap_or("any number"),
            rate.as_deref().unwrap_or("at any rate"),
            self.admitted,
            self.quarantined,
            self.denied,
        )
    }

    fn identities(&self) -> String {
        match self.psk_identity_prefix.as_str() {
            "" => "any".to_owned(),
            prefix => format!("{}*", printable(prefix)),
        }
    }
}

fn shown<'t>(text: &'t str, empty: &'t str) -> &'t str {
    if text.is_empty() { empty } else { text }
}

/// `{"policies": […]}`.
#[derive(Debug, Serialize)]
pub(crate) struct PoliciesView {
    pub(crate) policies: Vec<PolicyView>,
}

impl PoliciesView {
    /// The policies in the order in which they decide.
    pub(crate) fn table(&self) -> String {
        let mut policies: Vec<&PolicyView> = self.policies.iter().collect();
        policies
            .sort_by(|one, other| (other.priority, &one.name).cmp(&(one.priority, &other.name)));
        let rows = policies.into_iter().map(|policy| {
            vec![
                policy.name.clone(),
                policy.priority.to_string(),
                shown(&printable(&policy.endpoint_pattern), "any").to_owned(),
                policy.identities(),
                policy.action.to_owned(),
                policy.admitted.to_string(),
                policy.quarantined.to_string(),
                policy.denied.to_string(),
            ]
        });
        table::render(
            &[
                "NAME",
                "PRIORITY",
                "ENDPOINTS",
                "IDENTITIES",
                "ACTION",
                "DEVICES",
                "QUARANTINED",
                "DENIED",
            ],
            rows,
        )
    }
}

#[cfg(test)]
mod tests {
    use proto::drover::v1::enrollment_policy::Counts;

    use super::*;

    fn policy(name: &str, priority: u32, action: Action) -> EnrollmentPolicy {
        EnrollmentPolicy {
            name: name.to_owned(),
            priority,
            action: action.into(),
            ..Default::default()
        }
    }

    #[test]
    fn policies_are_listed_in_the_order_in_which_they_decide() {
        let lab = EnrollmentPolicy {
            psk_identity_prefix: "lab-".to_owned(),
            counts: Some(Counts {
                admitted: 0,
                quarantined: 2,
                denied: 1,
            }),
            ..policy("lab", 10, Action::Quarantine)
        };
        let policies = [
            policy("nobody-else", 0, Action::Deny),
            lab,
            policy("all", 0, Action::Admit),
        ];
        let view = PoliciesView {
            policies: policies.into_iter().map(PolicyView::from).collect(),
        };
        insta::assert_snapshot!(view.table(), @r"
        NAME          PRIORITY   ENDPOINTS   IDENTITIES   ACTION       DEVICES   QUARANTINED   DENIED
        lab           10         any         lab-*        Quarantine   0         2             1
        all           0          any         any          Admit        0         0             0
        nobody-else   0          any         any          Deny         0         0             0
        ");
    }

    #[test]
    fn a_policy_is_shown_with_all_it_says() {
        let meters = EnrollmentPolicy {
            endpoint_pattern: "meter-[0-9]+".to_owned(),
            labels: BTreeMap::from([("kind".to_owned(), "meter".to_owned())]),
            max_devices: 5_000,
            ..policy("meters", 1, Action::Admit)
        };
        insta::assert_snapshot!(PolicyView::from(meters).text(), @r"
        Name:         meters
        Description:  -
        Priority:     1
        Endpoints:    meter-[0-9]+
        Identities:   any
        Proof:        any
        Action:       Admit
        Labels:       kind=meter
        At most:      5000
        New ones:     at any rate
        Devices:      0 admitted, 0 quarantined, 0 denied
        ");
    }
}
