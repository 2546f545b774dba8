//! What `/metrics` shows.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Why something went wrong, one word of a closed set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReasonLabel {
    pub(crate) reason: &'static str,
}

/// Of which kind, by its plural.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLabel {
    pub(crate) kind: String,
}

/// What was asked of a campaign, one word of a closed set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CallLabel {
    pub(crate) call: &'static str,
}

/// How a stream of events stands, one word of a closed set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StateLabel {
    pub(crate) state: &'static str,
}

/// Of which kind the objects are that events trigger, by its plural.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TriggerLabel {
    pub(crate) kind: &'static str,
}

/// What was asked of the state tier of what a kind keeps there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ChangeLabel {
    /// By its plural.
    pub(crate) kind: String,
    /// One word of a closed set.
    pub(crate) call: &'static str,
}

/// Counters and gauges; clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) reconciliations: Counter,
    pub(crate) reconcile_errors: Family<ReasonLabel, Counter>,
    pub(crate) status_writes: Counter,
    pub(crate) status_writes_postponed: Counter,
    pub(crate) desired_sets: Counter,
    pub(crate) campaign_calls: Family<CallLabel, Counter>,
    pub(crate) changes: Family<ChangeLabel, Counter>,
    pub(crate) devices: Gauge,
    pub(crate) groups: Gauge,
    pub(crate) enrollment_policies: Gauge,
    pub(crate) profiles: Gauge,
    pub(crate) images: Gauge,
    pub(crate) rollouts: Gauge,
    pub(crate) operations: Gauge,
    pub(crate) bootstrap_profiles: Gauge,
    pub(crate) object_models: Gauge,
    pub(crate) leader: Gauge,
    pub(crate) crd_missing: Family<KindLabel, Gauge>,
    pub(crate) events: Counter,
    pub(crate) event_triggers: Family<TriggerLabel, Counter>,
    pub(crate) event_streams: Family<StateLabel, Gauge>,
    pub(crate) event_streams_opened: Counter,
    pub(crate) event_streams_broken: Counter,
    pub(crate) events_published: Counter,
    pub(crate) events_failed: Counter,
    pub(crate) events_dropped: Counter,
}

impl Metrics {
    /// Registers everything; names get the registry's prefix, counters the suffix `_total`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let all = Self::default();
        let counters = [
            (
                "reconciliations",
                "Reconciliations that succeeded",
                &all.reconciliations,
            ),
            ("status_writes", "Statuses written", &all.status_writes),
            (
                "status_writes_postponed",
                "Statuses written later because the object changes too often",
                &all.status_writes_postponed,
            ),
            (
                "desired_sets",
                "Desired sets sent to the state tier",
                &all.desired_sets,
            ),
            ("events", "Events of the state tier that came", &all.events),
            (
                "event_streams_opened",
                "Times that a stream of events of the state tier was opened",
                &all.event_streams_opened,
            ),
            (
                "event_streams_broken",
                "Times that a stream of events of the state tier ended or could not be opened",
                &all.event_streams_broken,
            ),
            (
                "events_published",
                "Events of Kubernetes about objects that were published",
                &all.events_published,
            ),
            (
                "events_failed",
                "Events of Kubernetes about objects that the API server did not take",
                &all.events_failed,
            ),
            (
                "events_dropped",
                "Events of Kubernetes about objects that were dropped because there were too many",
                &all.events_dropped,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let gauges = [
            ("devices", "Device objects", &all.devices),
            ("groups", "DeviceGroup objects", &all.groups),
            (
                "enrollment_policies",
                "EnrollmentPolicy objects",
                &all.enrollment_policies,
            ),
            ("profiles", "DeviceProfile objects", &all.profiles),
            ("images", "FirmwareImage objects", &all.images),
            ("rollouts", "FirmwareRollout objects", &all.rollouts),
            ("operations", "DeviceOperation objects", &all.operations),
            (
                "bootstrap_profiles",
                "BootstrapProfile objects",
                &all.bootstrap_profiles,
            ),
            ("object_models", "ObjectModel objects", &all.object_models),
            ("leader", "Whether this replica works", &all.leader),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let help = "Objects that are looked at because of an event";
        registry.register("event_triggers", help, all.event_triggers.clone());
        let help = "Streams of events of the state tier, by how they stand";
        registry.register("event_streams", help, all.event_streams.clone());
        let help = "Reconciliations that failed and are tried again";
        registry.register("reconcile_errors", help, all.reconcile_errors.clone());
        let help = "Whether the definition of a kind is not installed";
        registry.register("crd_missing", help, all.crd_missing.clone());
        let help = "What the state tier was asked to do with campaigns";
        registry.register("campaign_calls", help, all.campaign_calls.clone());
        let help = "What the state tier was asked to change of what objects keep there";
        registry.register("changes", help, all.changes.clone());
        all
    }
}
