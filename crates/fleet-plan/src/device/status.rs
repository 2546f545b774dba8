//! The status that follows from an observation.

use crd::device::CredentialStatus;
use crd::{
    ConditionStatus, ConditionType, Device, DeviceStatus, Drift, Reason, RegistrationState,
    RegistrationStatus, ResourceState, ResourceStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lwm2m::Path;

use super::accept::Accepted;
use super::{
    Observed, Registration, RegistrationEnd, StoredResource, StoredState, WantedResource,
    observations,
};
use crate::Refusal;
use crate::conditions::Conditions;
use crate::secrets::REDACTED;
use crate::text::{cut, non_empty};

/// A longer answer of a device is cut.
const MAX_DIAGNOSTIC_BYTES: usize = 256;
/// A longer reported value is cut.
const MAX_VALUE_BYTES: usize = 128;

/// A status in the making: starts as what the object has, ends as what it should have.
pub(super) struct Report<'a> {
    now: &'a Time,
    conditions: Conditions<'a>,
    /// The registration that was shown before.
    previous: Option<RegistrationStatus>,
    status: DeviceStatus,
}

impl<'a> Report<'a> {
    pub(super) fn new(device: &Device, now: &'a Time) -> Self {
        let known = device.status.clone().unwrap_or_default();
        let generation = device.metadata.generation.unwrap_or(1);
        Self {
            now,
            conditions: Conditions::new(known.conditions, Device::CONDITIONS, generation, now),
            previous: known.registration.clone(),
            status: DeviceStatus {
                observed_generation: Some(generation),
                conditions: Vec::new(),
                registration: known.registration,
                desired_generation: known.desired_generation,
                outstanding: known.outstanding,
                labels: known.labels,
                observations: known.observations,
                credentials: known.credentials,
                wipe_operation: known.wipe_operation,
                firmware: None,
                drift: None,
                resources: Vec::new(),
            },
        }
    }

    pub(super) fn finish(mut self) -> DeviceStatus {
        self.status.conditions = self.conditions.finish();
        self.status
    }

    pub(super) const fn now(&self) -> &'a Time {
        self.now
    }

    pub(super) const fn status_mut(&mut self) -> &mut DeviceStatus {
        &mut self.status
    }

    pub(super) fn set(
        &mut self,
        condition: ConditionType,
        status: ConditionStatus,
        reason: Reason,
        message: impl Into<String>,
    ) {
        self.conditions.set(condition, status, reason, message);
    }

    /// A condition that says nothing any more.
    pub(super) fn leave_out(&mut self, condition: ConditionType) {
        self.conditions.remove(condition);
    }

    pub(super) fn accepted(&mut self) {
        let message = "the spec is in force";
        self.set(
            ConditionType::Accepted,
            ConditionStatus::True,
            Reason::Accepted,
            message,
        );
    }

    /// The spec is not in force; what was in force before stays so.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        let reason = refusal.reason;
        self.set(
            ConditionType::Accepted,
            ConditionStatus::False,
            reason,
            refusal.message.as_str(),
        );
        let message = "the spec is not in force: see Accepted";
        self.set(
            ConditionType::Synced,
            ConditionStatus::Unknown,
            reason,
            message,
        );
        self.set(
            ConditionType::Ready,
            ConditionStatus::False,
            reason,
            message,
        );
    }

    /// The endpoint is not of this object: nothing of it is shown here. What the object has put there before it takes back
    /// when it goes.
    pub(super) fn foreign(&mut self, reason: Reason) {
        self.status.registration = None;
        self.status.desired_generation = None;
        self.status.outstanding = None;
        self.leave_out(ConditionType::FirmwareCurrent);
        let message = "the device is not of this object: see Accepted";
        self.set(
            ConditionType::Registered,
            ConditionStatus::Unknown,
            reason,
            message,
        );
    }

    pub(super) fn registration(&mut self, observed: &Observed) {
        let Some(live) = &observed.registration else {
            return self.no_registration(observed.ended);
        };
        self.status.registration = Some(live_status(live));
        let message = format!("registered over {} as {}", live.transport, live.id);
        self.set(
            ConditionType::Registered,
            ConditionStatus::True,
            Reason::Registered,
            message,
        );
    }

    fn no_registration(&mut self, ended: Option<RegistrationEnd>) {
        let last = self.previous.take();
        // The end itself may have been missed, for example while no operator ran.
        let state = match (last.as_ref().map(|last| last.state), ended) {
            (None | Some(RegistrationState::NeverSeen), None) => RegistrationState::NeverSeen,
            (_, Some(RegistrationEnd::Expired)) => RegistrationState::Expired,
            (_, Some(RegistrationEnd::Deregistered)) => RegistrationState::Deregistered,
            (Some(RegistrationState::Registered), None) => RegistrationState::NotRegistered,
            (Some(known), None) => known,
        };
        self.status.registration = Some(RegistrationStatus {
            state,
            ..last.unwrap_or_default()
        });
        let (status, reason, message) = match state {
            RegistrationState::NeverSeen => (
                ConditionStatus::Unknown,
                Reason::NeverSeen,
                "the device has not registered yet",
            ),
            RegistrationState::Expired => (
                ConditionStatus::False,
                Reason::LifetimeExpired,
                "the lifetime of the registration ran out",
            ),
            RegistrationState::Deregistered => (
                ConditionStatus::False,
                Reason::ClientDeregistered,
                "the device deregistered",
            ),
            RegistrationState::NotRegistered | RegistrationState::Registered => (
                ConditionStatus::False,
                Reason::NotRegistered,
                "the device is not registered any more",
            ),
        };
        self.set(ConditionType::Registered, status, reason, message);
    }

    /// The state tier holds the values of this object, under the stored generation.
    pub(super) fn owns(&mut self, observed: &Observed, wanted: usize) {
        let owned = i64::try_from(observed.desired_generation).ok();
        self.status.desired_generation = owned.filter(|_| wanted > 0);
    }

    /// The state tier is about to hold the values of this object.
    pub(super) fn owns_generation(&mut self, generation: u64) {
        self.status.desired_generation = i64::try_from(generation).ok();
    }

    pub(super) fn owns_nothing(&mut self) {
        self.status.desired_generation = None;
        self.status.outstanding = None;
    }

    /// These labels and observations are of this object in the state tier, or are about to be.
    pub(super) fn attached(
        &mut self,
        labels: Vec<String>,
        observations: Vec<String>,
        credentials: Vec<CredentialStatus>,
    ) {
        self.status.labels = labels;
        self.status.observations = observations;
        self.status.credentials = credentials;
    }

    /// The device is being reset by an operation of the state tier.
    pub(super) fn wiping(mut self, id: &str) -> DeviceStatus {
        self.status.wipe_operation = Some(id.to_owned());
        self.set(
            ConditionType::Ready,
            ConditionStatus::False,
            Reason::Wiping,
            "the object is being deleted: the device is reset first",
        );
        self.finish()
    }

    pub(super) fn suspended(&mut self) {
        self.waits("managementPolicy is Suspended: changes of this object have no effect");
    }

    /// A profile that the object refers to is paused.
    pub(super) fn held(&mut self, profile: &str) {
        self.waits(&format!(
            "the DeviceProfile {profile} is paused: until it is not, changes of it and of this object have no effect"
        ));
    }

    fn waits(&mut self, message: &str) {
        let (unknown, reason) = (ConditionStatus::Unknown, Reason::Suspended);
        self.set(ConditionType::Synced, unknown, reason, message);
        self.set(ConditionType::Ready, unknown, reason, message);
    }

    pub(super) fn managed(&mut self, observed: &Observed, accepted: &Accepted) {
        let mut drift = Drift::default();
        for wanted in &accepted.resources {
            let (path, text) = (wanted.path, wanted.goal.to_text());
            let is_this = |stored: &&StoredResource| stored.path == path && stored.text == text;
            let stored = observed.desired.iter().find(is_this);
            self.count(&mut drift, wanted, stored.map(|stored| &stored.state));
            if stored.is_some_and(|stored| stored.state == StoredState::Drifted) {
                self.drifted(observed, wanted);
            }
        }
        self.status.drift = Some(drift);
        self.synced(drift);
        self.ready(observed, drift);
        self.hindered(observed, accepted);
    }

    /// Observations that cannot be had are told if nothing else is wrong.
    pub(super) fn hindered(&mut self, observed: &Observed, accepted: &Accepted) {
        let hindered = observations::hindered(observed, &accepted.observations);
        let Some(first) = hindered.first() else {
            return;
        };
        let message = format!(
            "{} of {} observations are made otherwise by a profile or a caller of Observe, {first} among them; ask for \
             the same parameters, or end the other one",
            hindered.len(),
            accepted.observations.len()
        );
        for condition in [ConditionType::Synced, ConditionType::Ready] {
            self.refute(condition, Reason::ObservedOtherwise, &message);
        }
    }

    /// Something is yet to be done, by this very plan.
    pub(super) fn applying(&mut self) {
        let message = "what the object asks for is being brought into the state tier";
        self.refute(ConditionType::Synced, Reason::Pending, message);
        self.refute(ConditionType::Ready, Reason::Applying, message);
    }

    /// What would be told as true is not.
    fn refute(&mut self, condition: ConditionType, reason: Reason, message: &str) {
        if self.conditions.get(condition) == Some(ConditionStatus::True.as_str()) {
            self.set(condition, ConditionStatus::False, reason, message);
        }
    }

    fn count(&mut self, drift: &mut Drift, wanted: &WantedResource, state: Option<&StoredState>) {
        let path = wanted.path;
        drift.desired += 1;
        match state {
            Some(StoredState::InSync) => drift.in_sync += 1,
            Some(StoredState::Drifted) => drift.drifted += 1,
            Some(StoredState::Pending) | None => {
                drift.pending += 1;
                self.list(path, ResourceState::Pending);
            }
            Some(StoredState::Rejected {
                coap_code,
                diagnostic,
                since,
            }) => {
                drift.rejected += 1;
                if let Some(listed) = self.list(path, ResourceState::Rejected) {
                    listed.coap_code = non_empty(coap_code);
                    // A device may repeat what it was given.
                    let diagnostic = if wanted.is_secret { "" } else { diagnostic };
                    listed.message = non_empty(cut(diagnostic, MAX_DIAGNOSTIC_BYTES));
                    listed.last_transition_time.clone_from(since);
                }
            }
        }
    }

    /// Adds a resource of which the device told another value, if there is room.
    pub(super) fn drifted(&mut self, observed: &Observed, wanted: &WantedResource) {
        let path = wanted.path;
        let reported = observed.values.iter().find(|one| one.path == path);
        if let Some(listed) = self.list(path, ResourceState::Drifted) {
            let text = reported.map(|reported| {
                if wanted.is_secret {
                    REDACTED
                } else {
                    cut(&reported.text, MAX_VALUE_BYTES)
                }
            });
            listed.observed_value = text.map(str::to_owned);
        }
    }

    /// Adds a resource that is not in sync, if there is room.
    pub(super) fn list(&mut self, path: Path, state: ResourceState) -> Option<&mut ResourceStatus> {
        let listed = &mut self.status.resources;
        if listed.len() >= DeviceStatus::MAX_RESOURCES {
            return None;
        }
        listed.push(ResourceStatus {
            path: path.to_string(),
            state,
            coap_code: None,
            message: None,
            observed_value: None,
            last_transition_time: None,
        });
        listed.last_mut()
    }

    fn synced(&mut self, drift: Drift) {
        let (status, reason) = if drift.rejected > 0 && drift.in_sync > 0 {
            (ConditionStatus::False, Reason::PartiallyApplied)
        } else if drift.rejected > 0 {
            (ConditionStatus::False, Reason::Rejected)
        } else if drift.pending > 0 {
            (ConditionStatus::False, Reason::Pending)
        } else if drift.drifted > 0 {
            (ConditionStatus::False, Reason::Drifted)
        } else {
            (ConditionStatus::True, Reason::InSync)
        };
        self.set(ConditionType::Synced, status, reason, counted(drift));
    }

    fn ready(&mut self, observed: &Observed, drift: Drift) {
        let queue_mode = observed
            .registration
            .as_ref()
            .is_some_and(Registration::uses_queue_mode);
        let (status, reason, message) = if observed.registration.is_none() {
            self.ready_unregistered()
        } else if drift.rejected > 0 {
            (
                ConditionStatus::False,
                Reason::WriteRejected,
                counted(drift),
            )
        } else if drift.pending > 0 && queue_mode {
            (
                ConditionStatus::False,
                Reason::AwaitingWakeup,
                counted(drift),
            )
        } else if drift.pending > 0 {
            (ConditionStatus::False, Reason::Applying, counted(drift))
        } else if drift.drifted > 0 {
            (ConditionStatus::False, Reason::Drifted, counted(drift))
        } else {
            (ConditionStatus::True, Reason::InSync, counted(drift))
        };
        self.set(ConditionType::Ready, status, reason, message);
    }

    /// `Ready` of a device without a registration.
    pub(super) fn ready_unregistered(&self) -> (ConditionStatus, Reason, String) {
        let state = self.status.registration.as_ref().map(|last| last.state);
        let status = match state {
            None | Some(RegistrationState::NeverSeen) => ConditionStatus::Unknown,
            Some(_) => ConditionStatus::False,
        };
        (
            status,
            Reason::NotRegistered,
            "the device is not registered".to_owned(),
        )
    }

    /// The conditions and counters of a device that is only watched.
    pub(super) fn compared(
        &mut self,
        drift: Drift,
        synced: (ConditionStatus, Reason),
        registered: bool,
    ) {
        self.status.drift = Some(drift);
        self.set(ConditionType::Synced, synced.0, synced.1, counted(drift));
        let (status, reason, message) = if registered {
            (synced.0, synced.1, counted(drift))
        } else {
            self.ready_unregistered()
        };
        self.set(ConditionType::Ready, status, reason, message);
    }
}

impl Registration {
    // LwM2M-Core 1.0 §5.3.1.1 has queue mode in the binding ("UQ"); from 1.1 on it is a parameter
    // of its own, which the state tier shows in the same form.
    fn uses_queue_mode(&self) -> bool {
        self.binding.contains('Q')
    }
}

fn live_status(live: &Registration) -> RegistrationStatus {
    RegistrationStatus {
        state: RegistrationState::Registered,
        registration_id: non_empty(&live.id),
        registration_time: live.since.clone(),
        lifetime_seconds: Some(i64::from(live.lifetime_seconds)),
        lwm2m_version: non_empty(&live.version),
        binding: non_empty(&live.binding),
        transport: non_empty(&live.transport),
    }
}

fn counted(drift: Drift) -> String {
    let Drift {
        desired,
        in_sync,
        pending,
        rejected,
        drifted,
    } = drift;
    let mut message = format!("{in_sync} of {desired} in sync");
    for (count, what) in [
        (pending, "pending"),
        (rejected, "rejected"),
        (drifted, "drifted"),
    ] {
        if count > 0 {
            message = format!("{message}, {count} {what}");
        }
    }
    message
}
