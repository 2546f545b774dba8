//! `label`, `annotate` and `delete-device`: what is kept of devices whether they are registered or not.

use std::collections::BTreeMap;

use clap::Args;
use prost_types::FieldMask;
use proto::drover::v1::{
    DeleteDeviceRequest, Device, DeviceView as Shown, GetDeviceRequest, UpdateDeviceRequest,
};

use crate::api::Api;
use crate::arguments::{Global, Once, Seen};
use crate::failure::Failure;
use crate::view::device::LabelsView;

/// A label or an annotation that is set, or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Assignment {
    Set(String, String),
    Remove(String),
}

/// `key=value`, or `key-` to remove it.
pub(crate) fn parse_assignment(text: &str) -> Result<Assignment, String> {
    match (text.split_once('='), text.strip_suffix('-')) {
        (Some((key, value)), _) if !key.is_empty() => {
            Ok(Assignment::Set(key.to_owned(), value.to_owned()))
        }
        (None, Some(key)) if !key.is_empty() => Ok(Assignment::Remove(key.to_owned())),
        _ => Err("is neither KEY=VALUE nor KEY-".to_owned()),
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Keys and values are those of Kubernetes labels. Labels are kept until they are removed, whether the
device is registered or not; of a device of which nothing is known yet, --allow-missing.

Examples:
  drover label sim-0001 site=north tier=gold
  drover label sim-0001 tier-                    remove one
  drover label sim-0001 tier=silver --overwrite
  drover label sim-0001                          show them
  drover devices -l site=north --show-labels

JSON: {\"endpoint\", \"labels\": {KEY: VALUE}, \"annotations\": {KEY: VALUE}, \"etag\"}.")]
pub(crate) struct Label {
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Annotations are not for selecting: their values can be any text, 64 kB together.

Examples:
  drover annotate sim-0001 note='behind the boiler'
  drover annotate sim-0001 note-")]
pub(crate) struct Annotate {
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, Args)]
struct Change {
    /// Endpoint name of the device.
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// What to set, or with a hyphen at its end to remove; nothing: show what there is.
    #[arg(value_name = "KEY=VALUE|KEY-", value_parser = parse_assignment)]
    assignments: Vec<Assignment>,
    /// Change values that are there already.
    #[arg(long)]
    overwrite: bool,
    /// Of a device of which nothing is known yet, too.
    #[arg(long)]
    allow_missing: bool,
    #[command(flatten)]
    seen: Seen,
    #[command(flatten)]
    once: Once,
}

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Labels,
    Annotations,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Annotations => "annotations",
        }
    }

    const fn of(self, device: &mut Device) -> &mut BTreeMap<String, String> {
        match self {
            Self::Labels => &mut device.labels,
            Self::Annotations => &mut device.annotations,
        }
    }
}

impl Label {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        self.change.run(Kind::Labels, global).await
    }
}

impl Annotate {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        self.change.run(Kind::Annotations, global).await
    }
}

impl Change {
    async fn run(self, kind: Kind, global: &Global) -> Result<(), Failure> {
        let api = Api::connect(global).await?;
        let device = if self.assignments.is_empty() {
            get(&api, self.endpoint).await?
        } else {
            self.update(kind, &api).await?
        };
        global
            .output
            .show(&LabelsView::from(device), LabelsView::table)
    }

    async fn update(mut self, kind: Kind, api: &Api) -> Result<Device, Failure> {
        let action = format!("change {} of {}", kind.name(), self.endpoint);
        if !self.overwrite {
            self.check_values(kind, api).await?;
        }
        let mut device = Device {
            endpoint: self.endpoint,
            etag: self.seen.etag,
            ..Device::default()
        };
        let mut paths = Vec::new();
        for assignment in self.assignments {
            let (Assignment::Set(key, _) | Assignment::Remove(key)) = &assignment;
            paths.push(format!("{}.`{key}`", kind.name()));
            if let Assignment::Set(key, value) = assignment {
                kind.of(&mut device).insert(key, value);
            }
        }
        let request = UpdateDeviceRequest {
            device: Some(device),
            update_mask: Some(FieldMask { paths }),
            allow_missing: self.allow_missing,
            request_id: self.once.request_id,
            validate_only: self.once.dry_run,
        };
        let answer = api.devices().update_device(api.request(request)).await;
        Ok(answer.map_err(Failure::call(action))?.into_inner())
    }

    /// Refuses to change a value that is there. What was looked at is what is changed, by its etag.
    async fn check_values(&mut self, kind: Kind, api: &Api) -> Result<(), Failure> {
        let mut device = match get(api, self.endpoint.clone()).await {
            Err(Failure::Call { status, .. })
                if self.allow_missing && status.code() == tonic::Code::NotFound =>
            {
                return Ok(());
            }
            device => device?,
        };
        for assignment in &self.assignments {
            if let Assignment::Set(key, value) = assignment
                && let Some(there) = kind
                    .of(&mut device)
                    .get(key)
                    .filter(|there| *there != value)
            {
                return Err(Failure::usage(
                    format!("{} has {key}={there} already", self.endpoint),
                    "--overwrite changes it",
                ));
            }
        }
        if self.seen.etag.is_empty() {
            self.seen.etag = device.etag;
        }
        Ok(())
    }
}

async fn get(api: &Api, endpoint: String) -> Result<Device, Failure> {
    let action = format!("show {endpoint}");
    let request = GetDeviceRequest {
        endpoint,
        view: Shown::Basic.into(),
    };
    let answer = api.devices().get_device(api.request(request)).await;
    Ok(answer.map_err(Failure::call(action))?.into_inner())
}

#[derive(Debug, Args)]
#[command(after_help = "\
Deletes registration, desired state, operations, observations, values, labels and annotations.
Credentials stay: `drover credentials remove`. A device that goes on sending is told that it is not
registered, and may register anew.

Example:
  drover delete-device sim-0001 --force")]
pub(crate) struct DeleteDevice {
    /// Endpoint name of the device.
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// Even if it is registered.
    #[arg(long)]
    force: bool,
    /// Nothing is wrong if nothing is known of it.
    #[arg(long)]
    allow_missing: bool,
    #[command(flatten)]
    seen: Seen,
    #[command(flatten)]
    once: Once,
}

impl DeleteDevice {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let api = Api::connect(global).await?;
        let action = format!("delete {}", self.endpoint);
        let request = DeleteDeviceRequest {
            endpoint: self.endpoint,
            etag: self.seen.etag,
            force: self.force,
            allow_missing: self.allow_missing,
            request_id: self.once.request_id,
            validate_only: self.once.dry_run,
        };
        let answer = api.devices().delete_device(api.request(request)).await;
        answer.map(drop).map_err(Failure::call(action))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_those_of_kubectl() {
        let set = |key: &str, value: &str| Ok(Assignment::Set(key.to_owned(), value.to_owned()));
        assert_eq!(parse_assignment("a=b=c-"), set("a", "b=c-"));
        assert_eq!(parse_assignment("a="), set("a", ""));
        assert_eq!(
            parse_assignment("x.y/a-"),
            Ok(Assignment::Remove("x.y/a".to_owned()))
        );
        for wrong in ["a", "=b", "-", ""] {
            assert!(parse_assignment(wrong).is_err(), "{wrong}");
        }
    }
}
