#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use device_state::table::Row;
use device_state::{DeviceName, Event, Revision, ShardId, Timestamp, ValueOrigin};
use lwm2m::Value;
use proptest::prelude::*;

use super::*;
use crate::fail_stop::FailStop;
use crate::store::database::SharedOptions;

/// What happens to a feed and its readers.
#[derive(Clone, Debug)]
enum Step {
    /// Revisions are written, each with two entries of values of so many bytes.
    Write { revisions: usize, bytes: usize },
    /// The reader with this number reads a page.
    Read(usize),
    /// A reader begins with what is written from now on.
    Join,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1_usize..200, 0_usize..64).prop_map(|(revisions, bytes)| Step::Write { revisions, bytes }),
        6 => (0_usize..8).prop_map(Step::Read),
        1 => Just(Step::Join),
    ]
}

fn store(dir: &std::path::Path) -> Arc<ShardStore> {
    let options = SharedOptions::new(1 << 20, 1 << 20, 1);
    let fail_stop = FailStop::hooked(|what| panic!("{what}"));
    Arc::new(ShardStore::open(ShardId(0), dir, options, fail_stop).unwrap())
}

fn entry(revision: u64, index: u32, bytes: usize) -> FeedEntry {
    FeedEntry {
        revision: Revision(revision),
        index,
        at: Timestamp(0),
        endpoint: DeviceName::parse("meter").unwrap(),
        event: Event::ValuesReported {
            child: None,
            origin: ValueOrigin::Send,
            values: vec![(
                "/19/0/0".parse().unwrap(),
                Value::Opaque(vec![0; bytes]),
                Timestamp(0),
            )],
        },
    }
}

fn write(store: &ShardStore, entries: &[FeedEntry]) {
    let mut tables = store.write();
    for entry in entries {
        tables.put(Row::Feed(entry.clone()));
    }
    store.commit(tables, b"").unwrap();
}

/// A reader and what it has got, which begins after a position.
struct Reader {
    begun: FeedPosition,
    position: FeedPosition,
    got: Vec<FeedPosition>,
}

impl Reader {
    fn at(position: FeedPosition) -> Self {
        Self {
            begun: position,
            position,
            got: Vec::new(),
        }
    }

    fn read(&mut self, feed: &SharedFeed) -> usize {
        let SharedPage::Entries(entries) = feed.read(self.position) else {
            panic!("nothing was dropped");
        };
        for shared in &entries {
            self.position = FeedPosition::of(shared.entry());
            self.got.push(self.position);
        }
        entries.len()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_reader_gets_every_entry_once_and_in_order(
        steps in proptest::collection::vec(step(), 1..80),
        capacity in prop_oneof![Just(0_usize), Just(4 << 10), Just(64 << 10), Just(16 << 20)],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let feed = SharedFeed::new(store.clone(), capacity);
        let (mut written, mut revision) = (Vec::new(), 0);
        let mut readers = vec![Reader::at(FeedPosition::START)];
        for step in steps {
            match step {
                Step::Write { revisions, bytes } => {
                    let mut entries = Vec::new();
                    for _ in 0..revisions {
                        revision += 1;
                        entries.extend([0, 1].map(|index| entry(revision, index, bytes)));
                    }
                    write(&store, &entries);
                    written.extend(entries.iter().map(FeedPosition::of));
                }
                Step::Read(number) => {
                    let number = number % readers.len();
                    readers[number].read(&feed);
                }
                Step::Join => readers.push(Reader::at(FeedPosition::after(Revision(revision)))),
            }
        }
        for reader in &mut readers {
            while reader.read(&feed) > 0 {}
            let due: Vec<_> = written.iter().filter(|place| **place > reader.begun).copied().collect();
            prop_assert_eq!(&reader.got, &due);
        }
    }
}

#[test]
fn readers_at_the_end_share_what_is_read_and_encoded_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let feed = SharedFeed::new(store.clone(), 1 << 20);
    write(&store, &[entry(1, 0, 8), entry(2, 0, 8)]);
    let read = || match feed.read(FeedPosition::after(Revision(1))) {
        SharedPage::Entries(entries) => entries[0].clone(),
        SharedPage::Compacted { .. } => panic!("nothing was dropped"),
    };
    let (first, second) = (read(), read());
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(first.encoded().as_ptr(), second.encoded().as_ptr());
}

#[test]
fn a_reader_whose_entries_are_gone_is_told_where_the_feed_begins() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let feed = SharedFeed::new(store.clone(), 1 << 20);
    write(&store, &[entry(7, 0, 8)]);
    let mut tables = store.write();
    tables.put(Row::Counters(device_state::Counters {
        feed_floor: Revision(7),
        ..Default::default()
    }));
    store.commit(tables, b"").unwrap();
    let SharedPage::Compacted { resume } = feed.read(FeedPosition::after(Revision(3))) else {
        panic!("entries of a revision below the floor");
    };
    assert_eq!(resume, FeedPosition::after(Revision(6)));
    assert!(matches!(feed.read(resume), SharedPage::Entries(entries) if entries.len() == 1));
}
