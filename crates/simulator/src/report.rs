//! What is written to standard output.

use std::io::{self, Write as _};
use std::time::Duration;

use clap::ValueEnum;
use lwm2m::EndpointName;
use lwm2m_client::{Event, RegistrationFailure};
use serde_json::{Map, Value, json};

use crate::bench::read::Calls;
use crate::bench::request;
use crate::fleet::{Summary, percentile};
use crate::link::LinkOutput;
use crate::stats::Totals;

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people.
    Table,
    /// One JSON object a line, also for every event of a device.
    Json,
}

/// Writes one line; a reader that has gone away is no reason to stop.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// An event of a device.
pub(crate) fn event(format: Format, endpoint: &EndpointName, output: &LinkOutput) {
    if format == Format::Json
        && let Some(mut object) = describe(output)
    {
        object.insert("endpoint".to_owned(), json!(endpoint.as_str()));
        line(&Value::Object(object).to_string());
    }
}

fn describe(output: &LinkOutput) -> Option<Map<String, Value>> {
    let value = match output {
        LinkOutput::Transmit(_)
        | LinkOutput::Connect
        | LinkOutput::Disconnect
        | LinkOutput::Pull(_) => return None,
        LinkOutput::Connected => json!({"event": "connected"}),
        LinkOutput::HandshakeFailed(reason) => {
            json!({"event": "handshake-failed", "reason": reason.to_string()})
        }
        LinkOutput::SessionEnded(reason) => {
            json!({"event": "session-ended", "reason": reason.to_string()})
        }
        LinkOutput::ConnectionFailed => json!({"event": "connection-failed"}),
        LinkOutput::ConnectionEnded(reason) => {
            json!({"event": "connection-ended", "reason": reason.to_string()})
        }
        LinkOutput::Device(event) => describe_event(event)?,
    };
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn describe_event(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Registered { location } => json!({"event": "registered", "location": location}),
        Event::Updated => json!({"event": "updated"}),
        Event::Deregistered => json!({"event": "deregistered"}),
        Event::RegistrationFailed { reason, .. } => {
            json!({"event": "registration-failed", "reason": describe_failure(*reason)})
        }
        Event::UpdateFailed { reason, .. } => {
            json!({"event": "update-failed", "reason": describe_failure(*reason)})
        }
        Event::Executed { path, arguments } => json!({
            "event": "executed",
            "path": path.to_string(),
            "arguments": arguments.as_str(),
        }),
        Event::Written { path, values, .. } => {
            let values = values
                .iter()
                .map(|entry| (entry.path.to_string(), json!(entry.value.to_text())));
            let values: Map<String, Value> = values.collect();
            json!({"event": "written", "path": path.to_string(), "values": values})
        }
        Event::Created { path } => json!({"event": "created", "path": path.to_string()}),
        Event::Deleted { path } => json!({"event": "deleted", "path": path.to_string()}),
        Event::AttributesWritten { path } => {
            json!({"event": "attributes-written", "path": path.to_string()})
        }
        Event::ObservationStarted { path } => {
            json!({"event": "observation-started", "path": path.to_string()})
        }
        Event::ObservationEnded { path } => {
            json!({"event": "observation-ended", "path": path.to_string()})
        }
        Event::FirmwareChanged { state, result } => {
            json!({"event": "firmware", "state": state.number(), "result": result})
        }
        Event::RebootStarted => json!({"event": "reboot-started"}),
        Event::Booted => json!({"event": "booted"}),
        Event::FellAsleep => json!({"event": "fell-asleep"}),
        Event::Sent => json!({"event": "sent"}),
        Event::SendFailed { .. } => json!({"event": "send-failed"}),
        Event::NotificationAcknowledged { path, value } => json!({
            "event": "notification-acknowledged",
            "path": path.to_string(),
            "value": value.as_ref().map(lwm2m::Value::to_text),
        }),
        // There is one for every move of an observed value.
        Event::Notified { .. } => return None,
    })
}

fn describe_failure(reason: RegistrationFailure) -> String {
    match reason {
        RegistrationFailure::Refused(code) => code.to_string(),
        RegistrationFailure::NoAnswer => "no answer".to_owned(),
    }
}

/// The head of the progress table.
pub(crate) fn head(format: Format) {
    if format == Format::Table {
        line(
            "      time   started registered   reg/s  reg.fail   updates  notifications  executed   written",
        );
    }
}

/// A line of progress, and the registrations since the last one.
pub(crate) fn progress(format: Format, elapsed: Duration, totals: &Totals, per_second: f64) {
    match format {
        Format::Table => line(&format!(
            "{:>9.1}s {:>9} {:>10} {:>7.0} {:>9} {:>9} {:>14} {:>9} {:>9}",
            elapsed.as_secs_f64(),
            totals.started,
            totals.registered,
            per_second,
            totals.registration_failures + totals.handshake_failures,
            totals.updates,
            totals.notifications,
            totals.executed,
            totals.written,
        )),
        Format::Json => {
            let mut object = named(totals);
            object.insert("event".to_owned(), json!("progress"));
            object.insert("elapsed_ms".to_owned(), json!(millis(elapsed)));
            line(&Value::Object(object).to_string());
        }
    }
}

/// What became of a fleet.
pub(crate) fn summary(format: Format, elapsed: Duration, summary: &Summary) {
    match format {
        Format::Table => {
            line(&format!("\nran for {:.1} s", elapsed.as_secs_f64()));
            for (name, value) in summary.totals.named().filter(|(_, value)| *value > 0) {
                line(&format!("  {:<24}{value:>12}", name.replace('_', " ")));
            }
            if let (Some(p50), Some(p99)) = (summary.percentile(50), summary.percentile(99)) {
                line(&format!(
                    "  first registration      {:>12}",
                    format!("p50 {} ms, p99 {} ms", millis(p50), millis(p99))
                ));
            }
        }
        Format::Json => {
            let mut object = named(&summary.totals);
            object.insert("event".to_owned(), json!("summary"));
            object.insert("elapsed_ms".to_owned(), json!(millis(elapsed)));
            object.insert("failed".to_owned(), json!(summary.failed));
            for percent in [50, 99] {
                let value = summary.percentile(percent).map(millis);
                object.insert(format!("p{percent}_ms"), json!(value));
            }
            line(&Value::Object(object).to_string());
        }
    }
}

/// The result of a measurement of registrations.
pub(crate) fn registered(summary: &Summary) {
    let seconds = summary.elapsed.as_secs_f64();
    let per_second = |count| per_second(count, summary.elapsed);
    let registered = summary.latencies.len() as u64;
    let handshakes = summary.totals.handshakes;
    line(
        &json!({
            "registered": registered,
            "failed": summary.failed,
            "seconds": (seconds * 1000.0).round() / 1000.0,
            "registrations_per_second": per_second(registered),
            "handshakes_per_second": (handshakes > 0).then(|| per_second(handshakes)),
            "p50_ms": summary.percentile(50).map(millis),
            "p99_ms": summary.percentile(99).map(millis),
            "datagrams_sent": summary.totals.datagrams_sent,
            "datagrams_received": summary.totals.datagrams_received,
        })
        .to_string(),
    );
}

/// The result of a measurement of reads.
pub(crate) fn read(calls: &Calls, elapsed: Duration) {
    let answered = calls.latencies.len() as u64;
    let percentile = |percent| percentile(&calls.latencies, percent).map(millis);
    line(
        &json!({
            "reads": answered,
            "failed": calls.failed,
            "held_back": calls.held_back,
            "seconds": seconds(elapsed),
            "reads_per_second": per_second(answered, elapsed),
            "p50_ms": percentile(50),
            "p99_ms": percentile(99),
            "longest_gap_ms": millis(calls.longest_gap),
        })
        .to_string(),
    );
}

/// The result of a measurement of notifications.
pub(crate) fn notifications(sent: u64, arrived: u64, elapsed: Duration) {
    line(
        &json!({
            "sent": sent,
            "arrived": arrived,
            "seconds": seconds(elapsed),
            "sent_per_second": per_second(sent, elapsed),
            "notifications_per_second": per_second(arrived, elapsed),
        })
        .to_string(),
    );
}

/// The result of a measurement of commands; without the time of delivery they wait on.
pub(crate) fn commands(
    accepted: usize,
    accepting: Duration,
    delivered: usize,
    delivering: Option<Duration>,
) {
    line(
        &json!({
            "accepted": accepted,
            "accepted_per_second": per_second(accepted as u64, accepting),
            "delivered": delivered,
            "delivering_seconds": delivering.map(seconds),
            "delivered_per_second": delivering.map(|time| per_second(delivered as u64, time)),
        })
        .to_string(),
    );
}

/// The result of a measurement of requests.
pub(crate) fn requests(found: &request::Found) {
    let answered = found.latencies.len() as u64;
    let percentile = |percent| percentile(&found.latencies, percent).map(millis);
    line(
        &json!({
            "requests": answered,
            "failed": found.failed,
            "repeated": found.repeated,
            "seconds": (found.elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
            "requests_per_second": per_second(answered, found.elapsed),
            "p50_ms": percentile(50),
            "p99_ms": percentile(99),
            "longest_ms": percentile(100),
        })
        .to_string(),
    );
}

fn per_second(count: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    let rate = if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    };
    (rate * 10.0).round() / 10.0
}

fn named(totals: &Totals) -> Map<String, Value> {
    totals
        .named()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect()
}

/// Seconds, to a thousandth.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Milliseconds, to a hundredth.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use lwm2m::Path;

    use super::*;

    #[test]
    fn events_are_objects_with_a_name() {
        let executed = LinkOutput::Device(Event::Executed {
            path: Path::Resource(3, 0, 4),
            arguments: "0='now'".parse().unwrap(),
        });
        let object = describe(&executed).unwrap();
        assert_eq!(object.get("event"), Some(&json!("executed")));
        assert_eq!(object.get("path"), Some(&json!("/3/0/4")));
        assert_eq!(object.get("arguments"), Some(&json!("0='now'")));
    }

    #[test]
    fn transmissions_are_no_events() {
        assert_eq!(describe(&LinkOutput::Transmit(vec![1])), None);
    }
}
