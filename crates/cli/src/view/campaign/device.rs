//! Devices of a campaign.

use std::io;
use std::time::SystemTime;

use proto::drover::v1::CampaignDevice;
use proto::drover::v1::campaign_device::Phase;
use serde::Serialize;

use crate::table;
use crate::time::rfc3339;

/// A device in a campaign. `phase` is `Waiting`, `Scheduled`, `Offered`, `Downloading`, `Downloaded`, `Updating`,
/// `Verifying`, `Retrying`, `Succeeded`, `Failed`, `Expired`, `Skipped` or `Cancelled`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceView {
    endpoint: String,
    wave: String,
    phase: &'static str,
    reason: String,
    phase_time: Option<String>,
    retries: u32,
    version_before: String,
}

impl From<CampaignDevice> for DeviceView {
    fn from(device: CampaignDevice) -> Self {
        Self {
            phase: phase_name(device.phase()),
            endpoint: device.endpoint,
            wave: device.wave,
            reason: device.reason,
            phase_time: rfc3339(device.phase_time.as_ref()),
            retries: device.retries,
            version_before: device.version_before,
        }
    }
}

pub(crate) const fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Unspecified => "Unknown",
        Phase::Waiting => "Waiting",
        Phase::Scheduled => "Scheduled",
        Phase::Offered => "Offered",
        Phase::Downloading => "Downloading",
        Phase::Downloaded => "Downloaded",
        Phase::Updating => "Updating",
        Phase::Verifying => "Verifying",
        Phase::Retrying => "Retrying",
        Phase::Succeeded => "Succeeded",
        Phase::Failed => "Failed",
        Phase::Expired => "Expired",
        Phase::Skipped => "Skipped",
        Phase::Cancelled => "Cancelled",
    }
}

/// Devices of a campaign, as `{"devices": […]}`.
#[derive(Debug, Serialize)]
pub(crate) struct DevicesView {
    pub(crate) devices: Vec<DeviceView>,
}

impl DevicesView {
    pub(crate) fn table(&self, now: SystemTime) -> String {
        let row = |device: &DeviceView| {
            vec![
                device.endpoint.clone(),
                device.wave.clone(),
                device.phase.to_owned(),
                since(device.phase_time.as_deref(), now),
                device.retries.to_string(),
                device.version_before.clone(),
                device.reason.clone(),
            ]
        };
        table::render(
            &[
                "ENDPOINT", "WAVE", "PHASE", "SINCE", "RETRIES", "BEFORE", "REASON",
            ],
            self.devices.iter().map(row),
        )
    }
}

fn since(time: Option<&str>, now: SystemTime) -> String {
    let time = time.and_then(|time| time.parse().ok());
    crate::time::age(time.as_ref(), now)
}

/// The first line, which is there even without devices.
const HEADINGS: [&str; 7] = [
    "endpoint",
    "wave",
    "phase",
    "reason",
    "phaseTime",
    "retries",
    "versionBefore",
];

/// Lines of RFC 4180.
#[derive(Debug)]
pub(crate) struct Csv<W: io::Write>(csv::Writer<W>);

impl<W: io::Write> Csv<W> {
    /// Begins with the headings.
    pub(crate) fn begin(out: W) -> io::Result<Self> {
        let mut lines = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .from_writer(out);
        lines.write_record(HEADINGS).map_err(io_error)?;
        Ok(Self(lines))
    }

    /// Writes a page at once.
    pub(crate) fn page(&mut self, devices: &[DeviceView]) -> io::Result<()> {
        for device in devices {
            let fields = [
                device.endpoint.as_str(),
                &device.wave,
                device.phase,
                &device.reason,
                device.phase_time.as_deref().unwrap_or_default(),
                &device.retries.to_string(),
                &device.version_before,
            ];
            self.0.write_record(fields).map_err(io_error)?;
        }
        self.0.flush()
    }
}

/// The kind of the error tells whether the reader went away.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    fn device(endpoint: &str, reason: &str) -> DeviceView {
        CampaignDevice {
            endpoint: endpoint.to_owned(),
            wave: "canary".to_owned(),
            phase: Phase::Failed.into(),
            reason: reason.to_owned(),
            phase_time: Some(prost_types::Timestamp {
                seconds: 60,
                nanos: 0,
            }),
            retries: 2,
            version_before: "1.0 \"beta\"".to_owned(),
        }
        .into()
    }

    #[test]
    fn csv_quotes_what_would_break_it() {
        let mut text = Vec::new();
        let mut csv = Csv::begin(&mut text).unwrap();
        csv.page(&[device("a,b", "line\nbreak")]).unwrap();
        csv.page(&[device("c", "")]).unwrap();
        drop(csv);
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            text,
            "endpoint,wave,phase,reason,phaseTime,retries,versionBefore\r\n\
             \"a,b\",canary,Failed,\"line\nbreak\",1970-01-01T00:01:00Z,2,\"1.0 \"\"beta\"\"\"\r\n\
             c,canary,Failed,,1970-01-01T00:01:00Z,2,\"1.0 \"\"beta\"\"\"\r\n"
        );
    }

    #[test]
    fn csv_without_devices_has_headings() {
        let mut text = Vec::new();
        let mut csv = Csv::begin(&mut text).unwrap();
        csv.page(&[]).unwrap();
        drop(csv);
        assert!(text.starts_with(b"endpoint,wave,"));
    }

    #[test]
    fn a_table_escapes_what_a_device_said() {
        let view = DevicesView {
            devices: vec![device("c\u{1b}", "refused with 4.05")],
        };
        insta::assert_snapshot!(view.table(SystemTime::UNIX_EPOCH), @r#"
        ENDPOINT   WAVE     PHASE    SINCE   RETRIES   BEFORE       REASON
        c\u{1b}    canary   Failed   0s      2         1.0 "beta"   refused with 4.05
        "#);
    }
}
