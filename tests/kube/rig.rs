//! A Kubernetes API and a state tier, and what kubectl is asked.

use std::time::Duration;

use serde_json::Value;
use tests::{Drover, Kubernetes, Options, until_some};

/// How long anything may take: a rollout over a fleet takes minutes.
pub(crate) const SOON: Duration = Duration::from_secs(420);

/// One cluster of each.
pub(crate) struct Rig {
    pub(crate) kubernetes: Kubernetes,
    pub(crate) drover: Drover,
}

impl Rig {
    /// With so many devices, which have the label site=north.
    pub(crate) fn start(devices: usize) -> Self {
        let rig = Self::of(&Options {
            devices,
            ..Options::default()
        });
        for device in rig.drover.devices() {
            let labelled = rig.drover.run(&["label", &device, "site=north"]);
            assert_eq!(labelled.code, 0, "{labelled:?}");
        }
        rig
    }

    pub(crate) fn of(options: &Options) -> Self {
        let kubernetes = Kubernetes::start();
        kubernetes.install_definitions();
        Self {
            kubernetes,
            drover: Drover::start(options),
        }
    }

    pub(crate) fn apply(&self, manifest: &str) {
        let applied = self.kubernetes.apply(manifest);
        assert!(applied.status.success(), "{applied:?}");
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.kubernetes.kubectl(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// An object, called `kind/name`.
    pub(crate) fn object(&self, object: &str) -> Value {
        let text = self.kubectl(&["get", object, "-o", "json"]);
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) fn patch(&self, object: &str, spec: &str) {
        let patch = format!(r#"{{"spec": {spec}}}"#);
        self.kubectl(&["patch", object, "--type=merge", "-p", &patch]);
    }

    /// Waits until a condition of an object has this status and reason.
    pub(crate) fn until(&self, object: &str, kind: &str, status: &str, reason: &str) -> Value {
        until_some(&format!("{object}: {kind} {status} {reason}"), SOON, || {
            let seen = self.object(object);
            let conditions = seen["status"]["conditions"].as_array();
            let found = conditions.and_then(|all| all.iter().find(|one| one["type"] == kind));
            match found {
                Some(one) if one["status"] == status && one["reason"] == reason => Ok(seen),
                _ => Err(seen["status"].to_string()),
            }
        })
    }

    /// Waits until an object is not accepted for this reason, and returns what is said about it.
    pub(crate) fn until_refused(&self, object: &str, reason: &str) -> String {
        let refused = self.until(object, "Accepted", "False", reason);
        let mut conditions = refused["status"]["conditions"].as_array().unwrap().iter();
        let accepted = conditions.find(|one| one["type"] == "Accepted").unwrap();
        accepted["message"].as_str().unwrap().to_owned()
    }

    /// Waits until `kubectl describe` shows an event of this type and reason about an object, and returns what it says.
    pub(crate) fn until_told(&self, object: &str, kind: &str, reason: &str) -> String {
        until_some(&format!("{object}: {kind} {reason}"), SOON, || {
            let shown = self.kubectl(&["describe", object]);
            let events = shown
                .split_once("\nEvents:")
                .map_or("", |(_, events)| events);
            let mut lines = events.lines().map(str::trim);
            let is_it = |line: &&str| line.split_whitespace().take(2).eq([kind, reason]);
            lines.find(is_it).map(str::to_owned).ok_or(shown)
        })
    }

    /// A value of a device.
    pub(crate) fn value(&self, device: &str, path: &str) -> String {
        let read = self.drover.run(&["read", device, path, "-o", "json"]);
        let read: Value = serde_json::from_str(&read.stdout).unwrap_or_default();
        let value = &read["values"][0]["value"];
        value.as_str().unwrap_or_default().to_owned()
    }
}
