//! The log is struck at every write, every sync and every change of its folder, and compared with what was acknowledged.
//!
//! Loss of power keeps what was synced and any part of the rest; the end of the process keeps everything, but makes
//! nothing more durable than it was. What is read back afterwards is what was acknowledged and a beginning of the batch
//! that was under way: nothing is lost, and nothing is invented.
//!
//! `DROVER_SEEDS` says how many workloads are played, `DROVER_SEED` which one is the first.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::sync::{Arc, Mutex};

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::reading::load;
use super::writer::{Request, Writer};
use super::{LogStore, OpenError, Shared};
use crate::fail_stop::FailStop;
use disk::{End, StruckDisk};
use model::{Change, Model};

pub(in crate::raft) mod disk;
mod model;

const GROUPS: u16 = 3;
/// So small that a workload fills several.
const SEGMENT_BYTES: u32 = 1_500;
/// Batches that are written before the disk is struck, if it is not struck in one of them.
const BATCHES: usize = 40;
/// Of these, those that are written after a recovery.
const BATCHES_AFTER: usize = 6;
const SEEDS: u64 = 6;

/// The log of a process that runs.
struct Log {
    shared: Arc<Shared>,
    writer: Writer,
    stopped: Arc<Mutex<Vec<String>>>,
}

impl Log {
    fn open(disk: &StruckDisk) -> Result<Self, OpenError> {
        let stopped = Arc::new(Mutex::new(Vec::new()));
        let told = stopped.clone();
        let fail_stop = FailStop::hooked(move |what| told.lock().unwrap().push(what.to_owned()));
        let disk = Arc::new(disk.clone());
        let (store, writer, _queue) = LogStore::on(disk, GROUPS, fail_stop, SEGMENT_BYTES)?;
        Ok(Self {
            shared: store.shared,
            writer,
            stopped,
        })
    }

    /// Writes a batch as the groups of a node would; whether it was acknowledged.
    fn write(&mut self, batch: &[Change]) -> bool {
        let mut answers = Vec::new();
        let requests: Vec<Request> = batch
            .iter()
            .map(|change| {
                change.note(&mut self.shared.log(change.group()));
                let (request, answer) = change.request();
                answers.push(answer);
                request
            })
            .collect();
        let _next = self.writer.write(requests);
        let acknowledged: Vec<bool> = answers
            .into_iter()
            .filter_map(model::Answer::good)
            .collect();
        let all = acknowledged.iter().all(|good| *good);
        assert!(
            all || acknowledged.iter().all(|good| !*good),
            "a batch is one: {acknowledged:?}"
        );
        assert!(
            all || !self.stopped.lock().unwrap().is_empty(),
            "a node that cannot write stops"
        );
        all
    }

    /// What a reader finds.
    fn state(&self) -> Model {
        let mut state = Model::new(GROUPS);
        for group in 0..GROUPS {
            let (found, vote, purged) = {
                let log = self.shared.log(group);
                (log.find(0..u64::MAX, usize::MAX), log.vote, log.purged)
            };
            let files = self.shared.segments().clone();
            let read = |found| load(found, group, &files, &*self.shared.disk).unwrap();
            let entries = found.into_iter().map(read);
            state.set(group, vote, purged, entries);
        }
        state
    }
}

/// Recovers, perhaps struck again meanwhile, and finds out which beginning of the last batch there is.
fn recover(
    disk: &StruckDisk,
    rng: &mut ChaCha8Rng,
    known: &Model,
    last: &[Change],
) -> (Log, Model) {
    if rng.random_ratio(1, 3) {
        disk.strike_in(rng.random_range(1..=6));
        match Log::open(disk) {
            Ok(log) => drop(log),
            Err(OpenError::Io { .. }) => {}
            Err(error) => panic!("a recovery that was struck: {error}"),
        }
        disk.end(*[End::Kill, End::PowerLoss].choose(rng).unwrap(), rng);
    }
    let log = Log::open(disk).unwrap_or_else(|error| panic!("{error}: {disk:?}"));
    let found = log.state();
    let mut possible = known.clone();
    let beginnings = std::iter::once(possible.clone()).chain(
        last.iter()
            .flat_map(Change::records)
            .map(|record| {
                possible.apply(&record);
                possible.clone()
            })
            .collect::<Vec<_>>(),
    );
    let fits = beginnings.into_iter().any(|possible| possible == found);
    assert!(
        fits,
        "acknowledged {known:#?}\nthen {last:?}\nfound {found:#?}"
    );
    (log, found)
}

/// One life: batches until the disk is struck; what was under way then.
fn live(log: &mut Log, model: &mut Model, rng: &mut ChaCha8Rng, batches: usize) -> Vec<Change> {
    for _ in 0..batches {
        let batch = model.draw(rng);
        if !log.write(&batch) {
            // What follows is refused, too, and leaves no trace.
            let mut after = model.clone();
            after.apply_all(&batch);
            let refused = log.write(&after.draw(rng));
            assert!(!refused, "a disk that failed is not trusted again");
            return batch;
        }
        model.apply_all(&batch);
    }
    Vec::new()
}

/// Plays a workload with a blow at the given operation; how many operations there were.
fn play(seed: u64, blow: Option<u64>, end: End) -> u64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let disk = StruckDisk::default();
    let mut model = Model::new(GROUPS);
    if let Some(blow) = blow {
        disk.strike_in(blow);
    }
    let last = match Log::open(&disk) {
        Ok(mut log) => live(&mut log, &mut model, &mut rng, BATCHES),
        // Struck before there was a first segment.
        Err(OpenError::Io { .. }) => Vec::new(),
        Err(error) => panic!("{error}"),
    };
    let operations = disk.operations();
    // From here on another generator: the workload is the same wherever the blow falls.
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ blow.unwrap_or_default() << 32);
    disk.end(end, &mut rng);
    let mut last = last;
    for _ in 0..3 {
        let (mut log, found) = recover(&disk, &mut rng, &model, &last);
        model = found;
        disk.strike_in(rng.random_range(1..=30));
        last = live(&mut log, &mut model, &mut rng, BATCHES_AFTER);
        disk.end(
            *[End::Kill, End::PowerLoss].choose(&mut rng).unwrap(),
            &mut rng,
        );
    }
    recover(&disk, &mut rng, &model, &last);
    operations
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn what_was_acknowledged_survives_a_blow_at_every_write_and_sync() {
    let (first, seeds) = (number("DROVER_SEED", 0), number("DROVER_SEEDS", SEEDS));
    for seed in first..first + seeds {
        let blows = play(seed, None, End::Kill);
        for blow in 1..=blows {
            for end in [End::PowerLoss, End::Kill] {
                let played = std::panic::catch_unwind(|| play(seed, Some(blow), end));
                assert!(
                    played.is_ok(),
                    "DROVER_SEED={seed}: {end:?} at operation {blow}"
                );
            }
        }
    }
}

/// A process died after it had made a segment and before the folder was synced. The next one wrote to the segment, and
/// acknowledged what a loss of power then took away, file and all.
#[test]
fn a_segment_that_a_process_left_behind_is_durable_before_it_is_written_to() {
    for seed in 0..8 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let disk = StruckDisk::default();
        // Creation, header, sync, and the names.
        disk.strike_in(4);
        assert!(Log::open(&disk).is_err());
        disk.end(End::Kill, &mut rng);
        let mut model = Model::new(GROUPS);
        let batch = model.draw(&mut rng);
        assert!(Log::open(&disk).unwrap().write(&batch));
        model.apply_all(&batch);
        disk.end(End::PowerLoss, &mut rng);
        assert_eq!(Log::open(&disk).unwrap().state(), model, "seed {seed}");
    }
}
