//! Profiles in a shard: who has which, and what that makes of a device.
//!
//! Every way in leads through [`Change::settle_profiles`], which looks at all profiles of a device at once: what one of
//! them says may hide what another says.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use lwm2m::{Observed, Operation, Path};

use super::Change;
use super::desired::Wanted;
use crate::campaign::Sweep;
use crate::command::{Outcome, Rejection};
use crate::goal::{Goal, contradict};
use crate::id::{Timestamp, spread};
use crate::limit::MAX_DESIRED;
use crate::name::{DeviceName, DevicePrefix, Namespace};
use crate::profile::{
    Activity, Profile, ProfileDevice, ProfileObservation, ProfilePart, ProfileState, ProfileTally,
    Requirements, Standing,
};
use crate::query::{self, DeviceQuery};
use crate::record::{
    DesiredOrigin, DesiredResource, DesiredState, OperationOutcome, OperationSource,
};
use crate::table::{Row, RowKey};

/// Marks the holds of profiles among those of callers and campaigns.
const HOLDER: u64 = 1 << 62;

/// How a profile stands to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bearing {
    /// The device has nothing of it.
    None,
    /// The device keeps what it has of it.
    Frozen,
    /// As `Frozen`, until it is its turn.
    Waiting,
    /// The device lacks what it requires.
    Unsupported,
    Counts,
}

impl Change<'_> {
    /// Adds a profile to shard 0 or replaces the one of its name.
    pub(super) fn put_device_profile(&mut self, profile: &Profile) -> Result<Outcome, Rejection> {
        let others = query::profiles(self.tables, Some(&profile.namespace));
        let known = others.iter().any(|other| other.name == profile.name);
        if !known && others.len() >= Profile::MAX_PROFILES {
            return Err(Rejection::TooManyDeviceProfiles);
        }
        if let Some(stored) = others.iter().find(|other| other.name == profile.name) {
            let asked = Profile {
                revision: stored.revision,
                ..profile.clone()
            };
            // Nobody is asked again for what is as it was.
            if *stored == asked {
                return Ok(Outcome::Revised {
                    revision: stored.revision,
                });
            }
        }
        // Later than that of any profile of this name that was removed, whose parts may still be there.
        let revision = self.counters.next_operation;
        self.counters.next_operation += 1;
        self.tables.put(Row::Profile(Box::new(Profile {
            revision,
            ..profile.clone()
        })));
        Ok(Outcome::Revised { revision })
    }

    pub(super) fn remove_device_profile(
        &mut self,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Outcome, Rejection> {
        query::profile(self.tables, namespace, name).ok_or(Rejection::UnknownDeviceProfile)?;
        self.tables
            .delete(&RowKey::Profile(namespace.qualify(name)));
        Ok(Outcome::Done)
    }

    /// The shard goes by this revision from now on; its devices are asked by [`Self::spread_profile`].
    pub(super) fn install_profile(&mut self, profile: &Profile, standing: Standing) -> Outcome {
        let known = query::profile_part(self.tables, &profile.namespace, &profile.name);
        let stands = known
            .as_ref()
            .is_some_and(|known| known.profile == *profile && known.standing == standing);
        let is_older = known
            .as_ref()
            .is_some_and(|known| known.profile.revision > profile.revision);
        // What was never there needs no removal.
        let needless = known.is_none() && standing == Standing::Removed;
        if stands || is_older || needless {
            return Outcome::Done;
        }
        if known.is_none() {
            self.counters.profiles += 1;
        }
        let part = ProfilePart::new(profile.clone(), standing);
        self.tables.put(Row::ProfilePart(Box::new(part)));
        Outcome::Done
    }

    /// Asks further devices whether they have the profile, about as many as `limit`.
    pub(super) fn spread_profile(
        &mut self,
        namespace: &Namespace,
        name: &str,
        limit: u32,
    ) -> Result<Outcome, Rejection> {
        let mut part = query::profile_part(self.tables, namespace, name)
            .ok_or(Rejection::UnknownDeviceProfile)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
        let parts = query::profile_parts(self.tables, namespace);
        if part.members != Sweep::Done {
            let after = part.members.after();
            let (devices, last) =
                query::profile_members(self.tables, namespace, name, after, limit);
            for endpoint in devices {
                self.settle_profiles_by(&endpoint, &parts);
            }
            part.members = Sweep::to(last);
        } else if part.candidates != Sweep::Done {
            let (devices, last) = self.next_of_profile(&part, limit);
            for endpoint in devices {
                self.settle_profiles_by(&endpoint, &parts);
            }
            part.candidates = Sweep::to(last);
        }
        let is_over = part.standing == Standing::Removed && part.members == Sweep::Done;
        if is_over {
            let key = part.profile.key();
            self.tables.delete(&RowKey::ProfileTally(key.clone()));
            self.tables.delete(&RowKey::ProfilePart(key));
            self.counters.profiles = self.counters.profiles.saturating_sub(1);
        } else {
            self.tables.put(Row::ProfilePart(Box::new(part)));
        }
        Ok(Outcome::Done)
    }

    /// It is the turn of further devices, if the shard is where the sender takes it to be.
    pub(super) fn release_profile(
        &mut self,
        namespace: &Namespace,
        name: &str,
        (revision, released): (u64, &Sweep),
        (limit, examine): (u32, u32),
    ) -> Result<Outcome, Rejection> {
        let mut part = query::profile_part(self.tables, namespace, name)
            .ok_or(Rejection::UnknownDeviceProfile)?;
        let is_there = part.profile.revision == revision && part.released == *released;
        if !is_there || !part.is_marked() || part.is_spread() {
            return Ok(Outcome::Done);
        }
        let examine = usize::try_from(examine).unwrap_or(usize::MAX).max(1);
        let after = part.released.after();
        let (devices, last) = query::profile_members(self.tables, namespace, name, after, examine);
        part.released = Sweep::to(last);
        self.tables.put(Row::ProfilePart(Box::new(part.clone())));
        if let Some(last) = self.give_turns(&part.profile, devices, limit) {
            part.released = Sweep::Through(last);
            self.tables.put(Row::ProfilePart(Box::new(part)));
        }
        Ok(Outcome::Done)
    }

    /// Settles devices until `limit` of them have something to do. Answers whose turn was the last one, if it is not that of
    /// all.
    fn give_turns(
        &mut self,
        profile: &Profile,
        devices: Vec<DeviceName>,
        limit: u32,
    ) -> Option<DeviceName> {
        let parts = query::profile_parts(self.tables, &profile.namespace);
        let (mut begun, mut devices) = (0, devices.into_iter());
        while let Some(endpoint) = devices.next() {
            self.settle_profiles_by(&endpoint, &parts);
            let known = query::profile_device(self.tables, profile, &endpoint);
            // Some are refused something at once, by others who observe it otherwise, and written the rest.
            let begins = |state| matches!(state, ProfileState::Pending | ProfileState::Rejected);
            if known.is_some_and(|known| begins(known.state)) {
                begun += 1;
                if begun >= limit {
                    return Some(endpoint).filter(|_| devices.len() > 0);
                }
            }
        }
        None
    }

    /// A device whose registration ended keeps no other one from its turn.
    pub(super) fn stop_waiting_for(&mut self, endpoint: &DeviceName) {
        if self.counters.profiles == 0 {
            return;
        }
        let rows = query::desired(self.tables, endpoint).into_iter();
        let awaited = rows.filter(|row| matches!(row.state, DesiredState::Pending { .. }));
        let profiles = awaited.filter_map(|row| match row.origin {
            DesiredOrigin::Profile(profile) => Some(profile),
            DesiredOrigin::Device => None,
        });
        for profile in profiles.collect::<BTreeSet<String>>() {
            let part = query::profile_part(self.tables, &endpoint.namespace(), &profile);
            let Some(part) = part.filter(ProfilePart::takes_turns) else {
                continue;
            };
            let known = query::profile_device(self.tables, &part.profile, endpoint);
            if known.is_some_and(|known| known.state == ProfileState::Pending) {
                let state = Some(ProfileState::Unregistered);
                self.put_profile_device(&part.profile, endpoint, state);
            }
        }
    }

    fn next_of_profile(
        &self,
        part: &ProfilePart,
        limit: usize,
    ) -> (Vec<DeviceName>, Option<DeviceName>) {
        let prefix = DevicePrefix::of(&part.profile.namespace);
        let page = query::select_devices(
            self.tables,
            &DeviceQuery {
                filter: &part.profile.selector.filter,
                prefix: &prefix,
                after: part.candidates.after(),
                limit,
                examine: limit,
            },
        );
        let devices = page.devices.into_iter().map(|device| device.endpoint);
        (devices.collect(), page.next)
    }

    /// Makes of a device what its profiles say, after something changed by which they are chosen.
    pub(super) fn settle_profiles(&mut self, endpoint: &DeviceName) {
        let parts = self.profiles_for(endpoint);
        self.settle_profiles_by(endpoint, &parts);
    }

    fn settle_profiles_by(&mut self, endpoint: &DeviceName, parts: &[ProfilePart]) {
        let bearings = self.bearings(parts, endpoint);
        let concerned = |(part, bearing): &(&ProfilePart, Bearing)| {
            *bearing != Bearing::None
                || query::profile_device(self.tables, &part.profile, endpoint).is_some()
        };
        if bearings.iter().any(concerned) {
            let own = self.own_desired(endpoint);
            self.settle_with(endpoint, own, &bearings);
        }
    }

    /// Makes of a device what is desired of it by itself, and what its profiles add to that.
    pub(super) fn settle_desired_set(
        &mut self,
        endpoint: &DeviceName,
        own: BTreeMap<Path, Wanted>,
    ) {
        let parts = self.profiles_for(endpoint);
        let bearings = self.bearings(&parts, endpoint);
        self.settle_with(endpoint, own, &bearings);
    }

    fn settle_with(
        &mut self,
        endpoint: &DeviceName,
        own: BTreeMap<Path, Wanted>,
        parts: &[(&ProfilePart, Bearing)],
    ) {
        let wanted = self.with_profiles(endpoint, own, parts);
        let mut changes = self.replace_desired(endpoint, &wanted);
        // What one profile lets go another one may want otherwise.
        let mut claims: Vec<&ProfileObservation> = Vec::new();
        for (part, bearing) in parts {
            self.release_unwanted(part, *bearing, &claims, endpoint);
            if *bearing == Bearing::Counts {
                claims.extend(&part.profile.observations);
            }
        }
        for (part, bearing) in parts {
            if *bearing == Bearing::Counts {
                changes += self.observe_wanted(part, endpoint);
            }
        }
        if changes > 0 {
            self.settle_queue(endpoint);
        }
        for (part, bearing) in parts {
            let state = self.state_of(part, *bearing, endpoint);
            self.put_profile_device(&part.profile, endpoint, state);
        }
    }

    /// Brings the state of a device's profile up to date, after something became of one of its values.
    pub(super) fn refresh_profile(&mut self, endpoint: &DeviceName, origin: &DesiredOrigin) {
        let DesiredOrigin::Profile(name) = origin else {
            return;
        };
        if let Some(part) = query::profile_part(self.tables, &endpoint.namespace(), name) {
            let waits = part.holds_back(endpoint)
                || (part.profile.activity == Activity::Paused
                    && self.waits_its_turn(&part, endpoint));
            let bearing = if waits {
                Bearing::Waiting
            } else {
                Bearing::Counts
            };
            let state = self.state_of(&part, bearing, endpoint);
            self.put_profile_device(&part.profile, endpoint, state);
        }
    }

    /// A device that is gone has no profiles.
    pub(super) fn forget_profiles(&mut self, endpoint: &DeviceName) {
        for part in self.profiles_for(endpoint) {
            self.put_profile_device(&part.profile, endpoint, None);
        }
    }

    /// The profiles of a device's namespace, the ones that count first.
    fn profiles_for(&self, endpoint: &DeviceName) -> Vec<ProfilePart> {
        // Most of the time there is no profile at all.
        if self.counters.profiles == 0 {
            return Vec::new();
        }
        query::profile_parts(self.tables, &endpoint.namespace())
    }

    /// How profiles stand to a device.
    fn bearings<'p>(
        &self,
        parts: &'p [ProfilePart],
        endpoint: &DeviceName,
    ) -> Vec<(&'p ProfilePart, Bearing)> {
        let with_bearing = |part| (part, self.bearing(part, endpoint));
        parts.iter().map(with_bearing).collect()
    }

    fn bearing(&self, part: &ProfilePart, endpoint: &DeviceName) -> Bearing {
        let ProfilePart {
            profile, standing, ..
        } = part;
        if *standing == Standing::Removed
            || !query::is_known(self.tables, endpoint)
            || (self.counters.enrolled > 0 && query::is_quarantined(self.tables, endpoint))
        {
            return Bearing::None;
        }
        if profile.activity == Activity::Paused {
            let known = query::profile_device(self.tables, profile, endpoint);
            return match known.map(|known| known.state) {
                // Nothing was made of it.
                Some(ProfileState::Unsupported) => Bearing::Unsupported,
                Some(ProfileState::Waiting) => Bearing::Waiting,
                Some(_) => Bearing::Frozen,
                None => Bearing::None,
            };
        }
        let is_for_it = query::meets_filter(self.tables, endpoint, &profile.selector.filter);
        if part.holds_back(endpoint) {
            // Who leaves the profile takes turns, too: what counts then is another change of the device.
            let has_it = || query::profile_device(self.tables, profile, endpoint).is_some();
            return if is_for_it || has_it() {
                Bearing::Waiting
            } else {
                Bearing::None
            };
        }
        if !is_for_it {
            Bearing::None
        } else if self.meets(endpoint, &profile.requires) {
            Bearing::Counts
        } else {
            Bearing::Unsupported
        }
    }

    fn waits_its_turn(&self, part: &ProfilePart, endpoint: &DeviceName) -> bool {
        let known = query::profile_device(self.tables, &part.profile, endpoint);
        known.is_some_and(|known| known.state == ProfileState::Waiting)
    }

    fn meets(&self, endpoint: &DeviceName, requires: &Requirements) -> bool {
        if requires.is_empty() {
            return true;
        }
        // One that is not registered has nothing that anybody knows of.
        query::registration(self.tables, endpoint).is_some_and(|registration| {
            let mut objects = requires.objects.iter();
            objects.all(|object| query::has_object(&registration, *object, None))
                && requires
                    .version
                    .is_none_or(|least| registration.version >= least)
        })
    }

    fn with_profiles(
        &self,
        endpoint: &DeviceName,
        mut wanted: BTreeMap<Path, Wanted>,
        parts: &[(&ProfilePart, Bearing)],
    ) -> BTreeMap<Path, Wanted> {
        for (part, bearing) in parts {
            let profile = &part.profile;
            match bearing {
                Bearing::None | Bearing::Unsupported => {}
                Bearing::Frozen | Bearing::Waiting => {
                    let rows = query::desired(self.tables, endpoint).into_iter();
                    // What an earlier change has not brought to it yet is not brought to it any more.
                    let is_kept =
                        |row: &DesiredResource| *bearing == Bearing::Frozen || !is_first_write(row);
                    let own = rows.filter(|row| row.origin.is_profile(&profile.name));
                    for row in own.filter(is_kept) {
                        if has_room(&wanted, row.path, &row.goal) {
                            wanted.entry(row.path).or_insert_with(|| row.into());
                        }
                    }
                }
                Bearing::Counts => {
                    for resource in &profile.resources {
                        if has_room(&wanted, resource.path, &resource.goal) {
                            let added = || Wanted::of_profile(profile, resource);
                            wanted.entry(resource.path).or_insert_with(added);
                        }
                    }
                }
            }
        }
        wanted
    }

    /// Lets go what a profile does not want, or a profile that counts before it wants otherwise.
    fn release_unwanted(
        &mut self,
        part: &ProfilePart,
        bearing: Bearing,
        claims: &[&ProfileObservation],
        endpoint: &DeviceName,
    ) {
        let profile = &part.profile;
        let holder = holder(profile);
        let wanted: &[_] = match bearing {
            Bearing::Frozen => return,
            Bearing::Counts => &profile.observations,
            Bearing::None | Bearing::Unsupported | Bearing::Waiting => &[],
        };
        for held in query::observations(self.tables, endpoint) {
            let is_held = held.holders.iter().any(|one| one.id == holder);
            let is_this = |one: &ProfileObservation| {
                one.observed == held.observed && one.parameters == held.parameters
            };
            let claim = claims.iter().find(|claim| claim.observed == held.observed);
            let stands = (bearing == Bearing::Waiting || wanted.iter().any(is_this))
                && claim.is_none_or(|claim| is_this(claim));
            if is_held && !stands {
                self.release_observation(endpoint, &held.observed, holder);
                self.stop_asking_for(endpoint, &held.observed);
            }
        }
    }

    /// Nobody is asked any more to report what nobody wants.
    fn stop_asking_for(&mut self, endpoint: &DeviceName, released: &Observed) {
        if query::observation(self.tables, endpoint, released).is_some() {
            return;
        }
        for record in query::operations(self.tables, endpoint) {
            let asks = matches!(&record.operation, Operation::Observe { observed, .. } if observed == released);
            if asks && record.source == OperationSource::Desired && record.is_pending() {
                self.conclude(record, OperationOutcome::Cancelled);
            }
        }
    }

    /// How many operations that takes.
    fn observe_wanted(&mut self, part: &ProfilePart, endpoint: &DeviceName) -> usize {
        let holder = holder(&part.profile);
        let mut operations = 0;
        for ProfileObservation {
            observed,
            parameters,
        } in &part.profile.observations
        {
            let is_new = query::observation(self.tables, endpoint, observed).is_none();
            let until = Timestamp::NEVER;
            // The state of the profile tells of one that somebody else observes otherwise, or that is one too many.
            let held = self.hold_observation(endpoint, observed, *parameters, holder, until);
            // One that registers later is asked then.
            if is_new && held.is_ok() && query::registration(self.tables, endpoint).is_some() {
                let observe = Operation::Observe {
                    observed: observed.clone(),
                    parameters: *parameters,
                };
                self.add_operation(endpoint, observe, OperationSource::Desired, until, 0);
                operations += 1;
            }
        }
        operations
    }

    /// How far a device is from a profile; `None` for one that has nothing of it.
    fn state_of(
        &self,
        part: &ProfilePart,
        bearing: Bearing,
        endpoint: &DeviceName,
    ) -> Option<ProfileState> {
        match bearing {
            Bearing::None => return None,
            Bearing::Unsupported => return Some(ProfileState::Unsupported),
            Bearing::Waiting => return Some(ProfileState::Waiting),
            Bearing::Frozen | Bearing::Counts => {}
        }
        let profile = &part.profile;
        let rows = query::desired(self.tables, endpoint);
        let own = || {
            rows.iter()
                .filter(|row| row.origin.is_profile(&profile.name))
        };
        let holder = holder(profile);
        let unobserved = profile.observations.iter().any(|wanted| {
            let held = query::observation(self.tables, endpoint, &wanted.observed);
            !held.is_some_and(|held| held.holders.iter().any(|one| one.id == holder))
        });
        let homeless = profile.resources.iter().any(|resource| {
            let is_settled = |row: &DesiredResource| {
                row.path == resource.path
                    || contradict((row.path, &row.goal), (resource.path, &resource.goal))
            };
            !rows.iter().any(is_settled)
        });
        let any = |test: fn(&DesiredResource) -> bool| own().any(test);
        let refused = any(|row| matches!(row.state, DesiredState::Rejected { .. }));
        let paused = bearing == Bearing::Frozen || profile.activity == Activity::Paused;
        Some(if refused || (!paused && (unobserved || homeless)) {
            ProfileState::Rejected
        } else if any(|row| matches!(row.state, DesiredState::Pending { .. })) {
            self.awaited(part, endpoint)
        } else if any(|row| matches!(row.state, DesiredState::Drifted { .. })) {
            ProfileState::Drifted
        } else if own().next().is_none()
            && !profile.resources.is_empty()
            && profile.observations.is_empty()
        {
            ProfileState::Superseded
        } else {
            ProfileState::InSync
        })
    }

    /// How a device is that lacks something.
    fn awaited(&self, part: &ProfilePart, endpoint: &DeviceName) -> ProfileState {
        if part.takes_turns() && query::registration(self.tables, endpoint).is_none() {
            ProfileState::Unregistered
        } else {
            ProfileState::Pending
        }
    }

    /// Writes how far a device is, and counts it.
    fn put_profile_device(
        &mut self,
        profile: &Profile,
        endpoint: &DeviceName,
        state: Option<ProfileState>,
    ) {
        let before = query::profile_device(self.tables, profile, endpoint);
        let before = before.map(|before| before.state);
        if before == state {
            return;
        }
        let mut tally = query::profile_tally(self.tables, &profile.namespace, &profile.name);
        if let Some(before) = before {
            let counted = tally.of(before);
            *counted = counted.saturating_sub(1);
        }
        if let Some(state) = state {
            *tally.of(state) += 1;
            self.tables.put(Row::ProfileDevice(ProfileDevice {
                namespace: profile.namespace.clone(),
                profile: profile.name.clone(),
                endpoint: endpoint.clone(),
                state,
            }));
        } else {
            let key = RowKey::ProfileDevice(profile.key(), endpoint.clone());
            self.tables.delete(&key);
        }
        if tally == ProfileTally::default() {
            self.tables.delete(&RowKey::ProfileTally(profile.key()));
        } else {
            self.tables.put(Row::ProfileTally {
                namespace: profile.namespace.clone(),
                profile: profile.name.clone(),
                tally,
            });
        }
    }
}

/// Whether something more can be wanted of a device: not too much, and nothing below what is to be absent. What stands
/// already is of somebody who counts before.
fn has_room(wanted: &BTreeMap<Path, Wanted>, path: Path, goal: &Goal) -> bool {
    let instance = path
        .object_id()
        .zip(path.object_instance_id())
        .map(|(object, instance)| Path::ObjectInstance(object, instance));
    let above = instance.and_then(|instance| Some((instance, wanted.get(&instance)?)));
    let below = wanted
        .range((Bound::Excluded(path), Bound::Unbounded))
        .next();
    let below = below.map(|(path, wanted)| (*path, wanted));
    let mut near = above.into_iter().chain(below);
    wanted.len() < MAX_DESIRED
        && !near.any(|(near, wanted)| contradict((near, wanted.goal()), (path, goal)))
}

/// Whether a value is on its way to a device that has not had it before.
fn is_first_write(row: &DesiredResource) -> bool {
    matches!(row.state, DesiredState::Pending { .. }) && row.corrected_at.is_none()
}

/// Who holds the observations of a profile.
fn holder(profile: &Profile) -> u64 {
    HOLDER | (spread(profile.name.bytes()) >> 2)
}
