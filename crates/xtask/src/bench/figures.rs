//! What is promised, and the table that shows how it was kept.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use super::Measured;

const BEGIN: &str = "<!-- figures: written by make bench -->\n";
const END: &str = "<!-- end of figures -->\n";

/// A promise about one figure.
struct Figure {
    name: &'static str,
    what: &'static str,
    limit: Limit,
}

#[derive(Clone, Copy)]
enum Limit {
    /// So many a second, or more.
    Rate(f64),
    /// So many millions of bytes a second, or more.
    MegabytesPerSecond(f64),
    /// So many milliseconds, or fewer.
    Milliseconds(f64),
    /// So many bytes, or fewer.
    Bytes(f64),
    /// So many seconds, or fewer.
    Seconds(f64),
    /// So many in a hundred, or fewer.
    Percent(f64),
    /// So many thousands of millions of bytes, or fewer.
    Gigabytes(f64),
    /// So many times as many, or more.
    TimesAsMany(f64),
    /// So many times as much, or less.
    TimesAsMuch(f64),
    /// Not a single one.
    Nothing,
    /// Nothing is promised.
    Told(Unit),
}

#[derive(Clone, Copy)]
enum Unit {
    PerSecond,
    Percent,
    Milliseconds,
    Seconds,
}

const FIGURES: [Figure; 68] = [
    Figure {
        name: "server/psk handshake, cid",
        what: "DTLS: PSK handshakes, server side, one core",
        limit: Limit::Rate(60_000.0),
    },
    Figure {
        name: "server/ecdhe_ecdsa ccm_8 handshake, raw keys",
        what: "DTLS: ECDHE_ECDSA handshakes with raw public keys, server side, one core",
        limit: Limit::Rate(8_000.0),
    },
    Figure {
        name: "server/ecdhe_ecdsa gcm handshake, certificates",
        what: "DTLS: ECDHE_ECDSA handshakes with certificates, server side, one core",
        limit: Limit::Rate(8_000.0),
    },
    Figure {
        name: "server/open and seal 64 B, cid",
        what: "DTLS: CCM_8 records of 64 B opened and sealed, one core",
        limit: Limit::Rate(1_000_000.0),
    },
    Figure {
        name: "dtls-idle-session-cid",
        what: "DTLS: memory of an idle session with a Connection ID",
        limit: Limit::Bytes(300.0),
    },
    Figure {
        name: "dtls-idle-session-address",
        what: "DTLS: memory of an idle session without one",
        limit: Limit::Bytes(300.0),
    },
    Figure {
        name: "server/request_and_piggybacked_answer",
        what: "CoAP: requests answered, one core",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "client/request_and_piggybacked_response",
        what: "CoAP: requests made, one core",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "decode/device, tlv",
        what: "LwM2M: the Device object decoded from TLV, one core",
        limit: Limit::MegabytesPerSecond(200.0),
    },
    Figure {
        name: "decode/device, senml cbor",
        what: "LwM2M: the Device object decoded from SenML CBOR, one core",
        limit: Limit::MegabytesPerSecond(200.0),
    },
    Figure {
        name: "decode/device, lwm2m cbor",
        what: "LwM2M: the Device object decoded from LwM2M CBOR, one core",
        limit: Limit::MegabytesPerSecond(200.0),
    },
    Figure {
        name: "decode/800 values, tlv",
        what: "LwM2M: 800 measurements decoded from TLV, one core",
        limit: Limit::MegabytesPerSecond(200.0),
    },
    Figure {
        name: "decode/800 values, senml cbor",
        what: "LwM2M: 800 measurements decoded from SenML CBOR, one core",
        limit: Limit::MegabytesPerSecond(200.0),
    },
    Figure {
        name: "decode/800 values, lwm2m cbor",
        what: "LwM2M: 800 measurements decoded from LwM2M CBOR, one core",
        limit: Limit::MegabytesPerSecond(200.0),
    },
    Figure {
        name: "plain-registrations",
        what: "Registrations over CoAP, committed on three replicas",
        limit: Limit::Rate(12_000.0),
    },
    Figure {
        name: "dtls-registrations",
        what: "Registrations over DTLS with a PSK handshake, committed on three replicas",
        limit: Limit::Rate(6_000.0),
    },
    Figure {
        name: "read-p50",
        what: "API read of an awake device over DTLS, one caller: p50",
        limit: Limit::Milliseconds(0.5),
    },
    Figure {
        name: "read-p99",
        what: "API read of an awake device over DTLS, one caller: p99",
        limit: Limit::Milliseconds(5.0),
    },
    Figure {
        name: "reads-16",
        what: "API reads of awake devices over DTLS, 16 callers",
        limit: Limit::Rate(8_000.0),
    },
    Figure {
        name: "reads-16-p99",
        what: "the same: p99",
        limit: Limit::Milliseconds(5.0),
    },
    Figure {
        name: "notifications",
        what: "Notifications over CoAP, committed on three replicas and passed on to observers",
        limit: Limit::Rate(20_000.0),
    },
    Figure {
        name: "watchers-cost",
        what: "What 10 watchers of all events at one node add to the processors' work for plain registrations, in all nodes",
        limit: Limit::Percent(20.0),
    },
    Figure {
        name: "commands-accepted",
        what: "Writes to sleeping devices accepted, committed on three replicas",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "commands-delivered",
        what: "10,000 devices wake up at once with 10 writes each: delivered",
        limit: Limit::Rate(5_000.0),
    },
    Figure {
        name: "queue-idle-cpu",
        what: "100,000 sleeping devices: processor that all nodes take together",
        limit: Limit::Told(Unit::Percent),
    },
    Figure {
        name: "queue-growth-cpu",
        what: "the same with 1,000,000 writes queued: more than that",
        limit: Limit::Percent(1.0),
    },
    Figure {
        name: "package-seconds",
        what: "A package of 1 MB block-wise to 100 devices at once: all have it",
        limit: Limit::Told(Unit::Seconds),
    },
    Figure {
        name: "transfer-dtls",
        what: "the same over DTLS, by one ingress node",
        limit: Limit::MegabytesPerSecond(10.0),
    },
    Figure {
        name: "registration-p99-alone",
        what: "Registrations, 8 at a time: p99",
        limit: Limit::Told(Unit::Milliseconds),
    },
    Figure {
        name: "registration-p99-package",
        what: "the same while the package is on its way",
        limit: Limit::Told(Unit::Milliseconds),
    },
    Figure {
        name: "coaps-requests",
        what: "CoAPS requests with a Connection ID that the ingress answers alone, per second of its processor",
        limit: Limit::Rate(100_000.0),
    },
    Figure {
        name: "forwarded-requests",
        what: "the same by way of another node, per second of both nodes' processors",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "forwarding-cost-owner",
        what: "Forwarding: throughput that the owner of a session loses",
        limit: Limit::Percent(25.0),
    },
    Figure {
        name: "forwarding-cost-throughput",
        what: "Forwarding: throughput that a machine loses that runs both nodes and the devices",
        limit: Limit::Told(Unit::Percent),
    },
    Figure {
        name: "take-over-longest",
        what: "Ingress node killed with 10,000 live sessions, all of which speak at once: last answer",
        limit: Limit::Seconds(5.0),
    },
    Figure {
        name: "take-over-rate",
        what: "Sessions taken over and their Updates answered",
        limit: Limit::Rate(5_000.0),
    },
    Figure {
        name: "storm-registrations",
        what: "100,000 devices shake hands and register at once: registrations until all are there",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "ingress-idle-device",
        what: "Memory of an idle registered DTLS device in the ingress, after that storm",
        limit: Limit::Bytes(1_000.0),
    },
    Figure {
        name: "puts-64",
        what: "Puts of 64 clients, committed on three state nodes",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "puts-64-etcd",
        what: "the same in etcd 3.6",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "puts-64-times",
        what: "the one to the other",
        limit: Limit::TimesAsMany(2.0),
    },
    Figure {
        name: "puts-512",
        what: "Puts of 512 clients",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "puts-512-etcd",
        what: "the same in etcd 3.6",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "puts-512-times",
        what: "the one to the other",
        limit: Limit::TimesAsMany(2.0),
    },
    Figure {
        name: "puts-batched",
        what: "Puts in batches of 64, by 16 clients",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "puts-batched-etcd",
        what: "the same in etcd 3.6",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "puts-batched-times",
        what: "the one to the other",
        limit: Limit::TimesAsMany(2.0),
    },
    Figure {
        name: "state-reads-64",
        what: "Linearizable reads of 64 clients from three state nodes",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "state-reads-64-etcd",
        what: "the same from etcd 3.6",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "state-reads-64-times",
        what: "the one to the other",
        limit: Limit::TimesAsMany(2.0),
    },
    Figure {
        name: "state-reads-512",
        what: "Linearizable reads of 512 clients",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "state-reads-512-etcd",
        what: "the same from etcd 3.6",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "state-reads-512-times",
        what: "the one to the other",
        limit: Limit::TimesAsMany(2.0),
    },
    Figure {
        name: "leader-loss-longest",
        what: "The state node that leads most shards is killed: longest time without an acknowledgement in a shard, of five times",
        limit: Limit::Seconds(3.0),
    },
    Figure {
        name: "leader-loss-lost",
        what: "Acknowledged writes lost by that",
        limit: Limit::Nothing,
    },
    Figure {
        name: "registrations-few",
        what: "Registrations of 512 clients at three state nodes with 10,000 devices",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "registrations-million",
        what: "the same with 1,000,000 devices",
        limit: Limit::Told(Unit::PerSecond),
    },
    Figure {
        name: "registration-cost-million",
        what: "What one costs the processors of all nodes then, of what it cost with 10,000",
        limit: Limit::TimesAsMuch(1.5),
    },
    Figure {
        name: "state-memory-million",
        what: "Memory of a state node with 1,000,000 registered devices",
        limit: Limit::Gigabytes(2.0),
    },
    Figure {
        name: "operator-first",
        what: "The operator meets 10,000 Device objects for the first time: all are in force",
        limit: Limit::Told(Unit::Seconds),
    },
    Figure {
        name: "operator-start",
        what: "It starts again among them: all were looked at",
        limit: Limit::Seconds(60.0),
    },
    Figure {
        name: "operator-memory",
        what: "Memory of the operator then",
        limit: Limit::Gigabytes(0.3),
    },
    Figure {
        name: "operator-idle-writes",
        what: "Statuses that it writes in a minute in which nothing happens",
        limit: Limit::Nothing,
    },
    Figure {
        name: "operator-change-p99",
        what: "One object of them changes: its status is about that, p99, as kubectl sees it",
        limit: Limit::Milliseconds(1_000.0),
    },
    Figure {
        name: "campaign-start-million",
        what: "A firmware campaign over 1,000,000 devices begins",
        limit: Limit::Seconds(30.0),
    },
    Figure {
        name: "restart-million",
        what: "A state node with 1,000,000 devices is stopped and started: has caught up",
        limit: Limit::Seconds(30.0),
    },
    Figure {
        name: "restart-million-killed",
        what: "the same after a kill",
        limit: Limit::Seconds(30.0),
    },
    Figure {
        name: "snapshot-gigabyte",
        what: "A new replica: seconds for each GB of rows until it is a voter of all shards",
        limit: Limit::Seconds(15.0),
    },
];

/// A Markdown table of all figures; an error if one was not measured.
pub(super) fn table(measured: &Measured) -> Result<String> {
    let mut text =
        "| what | promised | measured | measured / promised |\n|---|--:|--:|--:|\n".to_owned();
    for Figure { name, what, limit } in &FIGURES {
        let value = *measured
            .get(*name)
            .with_context(|| format!("{name} was not measured"))?;
        let (promised, shown) = limit.show(value);
        let ratio = limit
            .number()
            .map_or_else(String::new, |number| format!("{:.2}", value / number));
        writeln!(text, "| {what} | {promised} | {shown} | {ratio} |")?;
    }
    Ok(text)
}

/// `document` with `figures` in place of what is between the two marks.
pub(super) fn replace(document: &str, figures: &str) -> Result<String> {
    let (before, rest) = document
        .split_once(BEGIN)
        .context("no mark for the figures")?;
    let (_, after) = rest.split_once(END).context("no mark for their end")?;
    Ok(format!("{before}{BEGIN}{figures}{END}{after}"))
}

impl Limit {
    const fn number(self) -> Option<f64> {
        match self {
            Self::Rate(number)
            | Self::Milliseconds(number)
            | Self::Bytes(number)
            | Self::Seconds(number)
            | Self::Percent(number)
            | Self::TimesAsMany(number)
            | Self::TimesAsMuch(number) => Some(number),
            // Measured in bytes.
            Self::MegabytesPerSecond(number) => Some(number * 1e6),
            Self::Gigabytes(number) => Some(number * 1e9),
            Self::Nothing | Self::Told(_) => None,
        }
    }

    /// The promise and the value, with units.
    fn show(self, value: f64) -> (String, String) {
        match self {
            Self::Rate(limit) => (
                format!("≥ {}/s", grouped(limit)),
                format!("{}/s", grouped(value)),
            ),
            Self::MegabytesPerSecond(limit) => (
                format!("≥ {limit} MB/s"),
                format!("{:.0} MB/s", value / 1e6),
            ),
            Self::Milliseconds(limit) => (format!("≤ {limit} ms"), format!("{value:.2} ms")),
            Self::Bytes(limit) => (format!("≤ {limit} B"), format!("{value:.0} B")),
            Self::Seconds(limit) => (format!("≤ {limit} s"), format!("{value:.2} s")),
            Self::Percent(limit) => (format!("≤ {limit} %"), format!("{value:.0} %")),
            Self::Gigabytes(limit) => (format!("≤ {limit} GB"), format!("{:.2} GB", value / 1e9)),
            Self::TimesAsMany(limit) => (format!("≥ {limit} ×"), format!("{value:.2} ×")),
            Self::TimesAsMuch(limit) => (format!("≤ {limit} ×"), format!("{value:.2} ×")),
            Self::Nothing => ("0".to_owned(), grouped(value)),
            Self::Told(unit) => (String::new(), unit.show(value)),
        }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::PerSecond => format!("{}/s", grouped(value)),
            Self::Percent => format!("{value:.0} %"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Seconds => format!("{value:.2} s"),
        }
    }
}

/// A whole number with commas.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn every_figure_has_a_row_and_a_missing_one_is_named() {
        let mut measured: Measured = FIGURES
            .iter()
            .map(|figure| (figure.name.to_owned(), 12_000.0))
            .collect();
        let table = table(&measured).unwrap();
        assert_eq!(table.lines().count(), 2 + FIGURES.len());
        assert!(
            table.contains("| ≥ 12,000/s | 12,000/s | 1.00 |"),
            "{table}"
        );
        measured.remove("read-p50");
        let error = super::table(&measured).unwrap_err().to_string();
        assert!(error.contains("read-p50"), "{error}");
    }

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let document = format!("a\n{BEGIN}old\n{END}z\n");
        assert_eq!(
            replace(&document, "new\n").unwrap(),
            format!("a\n{BEGIN}new\n{END}z\n")
        );
        assert!(replace("a\n", "new\n").is_err());
    }
}
