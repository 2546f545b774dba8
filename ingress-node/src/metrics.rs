//! What the node counts; names are stable.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use lwm2m_server::bootstrap::BootstrapOutcome;

use crate::driver::{Application, Carrier};
use crate::tcp::streams::Streams;

/// Labels of what is counted per worker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Worker {
    worker: u8,
}

/// Labels of what ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
}

/// Labels of what is known of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct File {
    file: String,
}

/// Labels of what a worker drops.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Drop {
    worker: u8,
    layer: &'static str,
    reason: &'static str,
}

/// Counters and gauges; clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) datagrams_received: Counter,
    pub(crate) datagrams_sent: Counter,
    pub(crate) datagrams_lost: Counter,
    pub(crate) datagrams_forwarded: Counter,
    pub(crate) forwarded_refused: Counter,
    pub(crate) commits: Counter,
    pub(crate) operations: Counter,
    pub(crate) handshakes: Counter,
    pub(crate) handshakes_failed: Counter,
    pub(crate) resumptions: Counter,
    pub(crate) take_overs: Counter,
    pub(crate) sessions_revoked: Counter,
    pub(crate) trust_reloads: Counter,
    pub(crate) trust_reload_failures: Counter,
    pub(crate) members: Gauge,
    pub(crate) messages_received: Counter,
    pub(crate) messages_sent: Counter,
    bootstraps: Family<Ended, Counter>,
    devices: Family<Worker, Gauge>,
    sessions: Family<Worker, Gauge>,
    contexts: Family<Worker, Gauge>,
    connections: Family<Worker, Gauge>,
    dropped: Family<Drop, Gauge>,
    revocation_lists: Family<File, Gauge>,
}

impl Metrics {
    /// Metrics that are part of `registry`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter(
            "datagrams_received",
            "Datagrams read",
            &metrics.datagrams_received,
        );
        counter(
            "datagrams_sent",
            "Datagrams given to the kernel",
            &metrics.datagrams_sent,
        );
        counter(
            "datagrams_lost",
            "Datagrams that could not be sent or handed on",
            &metrics.datagrams_lost,
        );
        counter(
            "datagrams_forwarded",
            "Datagrams of devices given to the worker that owns them",
            &metrics.datagrams_forwarded,
        );
        counter(
            "forwarded_refused",
            "Datagrams on the forwarding port that no member sent, or sent before",
            &metrics.forwarded_refused,
        );
        counter(
            "commits",
            "Commands proposed to the state tier",
            &metrics.commits,
        );
        counter(
            "operations",
            "Operations on devices taken from the state tier",
            &metrics.operations,
        );
        counter(
            "handshakes",
            "DTLS handshakes that led to a session",
            &metrics.handshakes,
        );
        counter(
            "handshakes_failed",
            "DTLS handshakes that failed after a valid cookie",
            &metrics.handshakes_failed,
        );
        counter(
            "resumptions",
            "Of the handshakes, those that resumed a session",
            &metrics.resumptions,
        );
        counter(
            "take_overs",
            "DTLS sessions of other nodes that this node went on with",
            &metrics.take_overs,
        );
        counter(
            "sessions_revoked",
            "DTLS sessions ended because their credential or certificate was revoked",
            &metrics.sessions_revoked,
        );
        counter(
            "trust_reloads",
            "Times that changed keys, authorities and revocation lists were taken over",
            &metrics.trust_reloads,
        );
        counter(
            "trust_reload_failures",
            "Times that changed keys, authorities or revocation lists could not be used",
            &metrics.trust_reload_failures,
        );
        counter(
            "messages_received",
            "Messages read from TCP and TLS connections",
            &metrics.messages_received,
        );
        counter(
            "messages_sent",
            "Messages for TCP and TLS connections",
            &metrics.messages_sent,
        );
        metrics.register_gauges(registry);
        metrics
    }

    fn register_gauges(&self, registry: &mut Registry) {
        registry.register(
            "connections",
            "TCP and TLS connections held",
            self.connections.clone(),
        );
        registry.register(
            "members",
            "Ingress nodes of the cluster, this one included",
            self.members.clone(),
        );
        registry.register(
            "bootstraps",
            "Bootstraps that ended, by how",
            self.bootstraps.clone(),
        );
        registry.register(
            "devices",
            "Registered devices held; of a bootstrap node, those whose bootstrap is under way",
            self.devices.clone(),
        );
        registry.register("sessions", "DTLS sessions held", self.sessions.clone());
        registry.register("contexts", "OSCORE contexts held", self.contexts.clone());
        registry.register(
            "dropped",
            "What peers sent and was dropped or refused, since start",
            self.dropped.clone(),
        );
        registry.register(
            "revocation_list_next_update_seconds",
            "When the first revocation list of a file expires, in seconds since 1970",
            self.revocation_lists.clone(),
        );
    }

    /// A bootstrap ended.
    pub(crate) fn bootstrap_ended(&self, outcome: &BootstrapOutcome) {
        let outcome = match outcome {
            BootstrapOutcome::Finished => "finished",
            BootstrapOutcome::PackDelivered => "pack_delivered",
            BootstrapOutcome::PackRefused => "pack_refused",
            BootstrapOutcome::Refused { .. } => "refused",
            BootstrapOutcome::Inconsistent => "inconsistent",
            BootstrapOutcome::Garbled { .. } => "garbled",
            BootstrapOutcome::TimedOut => "timed_out",
            BootstrapOutcome::Gone => "gone",
            BootstrapOutcome::NotPrepared(_) | BootstrapOutcome::BadPlan(_) => "no_accounts",
            BootstrapOutcome::Overloaded => "overloaded",
        };
        self.bootstraps.get_or_create(&Ended { outcome }).inc();
    }

    /// When the first list in each file expires, since 1970.
    pub(crate) fn set_revocation_lists(&self, expiries: &BTreeMap<PathBuf, Duration>) {
        self.revocation_lists.clear();
        for (file, expiry) in expiries {
            let file = file.display().to_string();
            self.revocation_lists
                .get_or_create(&File { file })
                .set(expiry.as_secs() as i64);
        }
    }

    /// Takes over what the engines of a worker count themselves.
    pub(crate) fn observe(
        &self,
        worker: u8,
        application: &Application,
        dtls: &dtls::Server,
        oscore: &oscore::Server<Carrier>,
        streams: &Streams,
    ) {
        let (devices, server) = match application {
            Application::Management(engine) => (engine.device_count(), engine.counters()),
            Application::Bootstrap(engine) => {
                let counters = engine.counters();
                let counted = lwm2m_server::Counters {
                    refused: counters.refused,
                    overloaded: counters.overloaded,
                    ..lwm2m_server::Counters::default()
                };
                (engine.bootstrap_count(), counted)
            }
        };
        self.devices
            .get_or_create(&Worker { worker })
            .set(devices as i64);
        self.sessions
            .get_or_create(&Worker { worker })
            .set(dtls.session_count() as i64);
        self.connections
            .get_or_create(&Worker { worker })
            .set(streams.len() as i64);
        self.contexts
            .get_or_create(&Worker { worker })
            .set(oscore.len() as i64);
        let (streams, oscore) = (streams.counters(), oscore.counters());
        let (coap, dtls) = (application.coap_counters(), dtls.counters());
        let counts = [
            (
                "dtls",
                "malformed",
                dtls.malformed_records + dtls.malformed_messages,
            ),
            (
                "dtls",
                "unknown_session",
                dtls.unknown_session + dtls.foreign_cid,
            ),
            ("dtls", "unknown_epoch", dtls.unknown_epoch),
            ("dtls", "replayed", dtls.replayed),
            ("dtls", "unauthentic", dtls.unauthentic),
            ("dtls", "refused_by_limit", dtls.refused_by_limit),
            ("dtls", "refused_by_rate", dtls.refused_by_rate),
            ("oscore", "malformed", oscore.malformed),
            ("oscore", "unknown_context", oscore.unknown_context),
            ("oscore", "replayed", oscore.replayed),
            ("oscore", "challenged", oscore.challenges),
            ("oscore", "unauthentic", oscore.unauthentic),
            ("oscore", "unprotected", oscore.unprotected),
            ("oscore", "left_behind", oscore.left_behind),
            ("tcp", "refused_by_limit", streams.refused),
            ("tcp", "handshake", streams.handshakes_failed),
            ("tcp", "not_sent", streams.not_sent),
            ("coap", "malformed", coap.malformed),
            ("coap", "unknown_token", coap.unknown_token),
            ("coap", "unmatched", coap.unmatched),
            ("coap", "bad_option", coap.bad_option),
            ("coap", "overloaded", coap.overloaded),
            ("coap", "duplicate", coap.duplicates),
            ("lwm2m", "refused", server.refused),
            ("lwm2m", "overloaded", server.overloaded),
            ("lwm2m", "notification", server.dropped_notifications),
        ];
        for (layer, reason, count) in counts {
            self.dropped
                .get_or_create(&Drop {
                    worker,
                    layer,
                    reason,
                })
                .set(count as i64);
        }
    }
}
