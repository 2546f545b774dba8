//! State nodes come and go while the cluster serves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tests::state_nodes::{Site, StateNode, apis, cluster, id_of, run, wait_for_voters};
use tests::{until, until_some};

const PATIENCE: Duration = Duration::from_secs(60);

/// Stores credentials, one after the other, and notes those that were acknowledged.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<String>>,
}

impl Writer {
    fn start(api: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ends, api) = (stop.clone(), api.to_owned());
        let thread = std::thread::spawn(move || {
            let mut acknowledged = BTreeSet::new();
            for number in 0.. {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                let name = format!("writer-{number:05}");
                if store(&api, &name) {
                    acknowledged.insert(name);
                }
            }
            acknowledged
        });
        Self { stop, thread }
    }

    fn end(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn store(api: &str, name: &str) -> bool {
    let flags = [
        "--endpoint",
        name,
        "--psk-identity",
        name,
        "--psk-key",
        "00ff",
    ];
    let arguments = [&["credentials", "add", "--timeout", "10s"], &flags[..]].concat();
    run(api, &arguments).code == 0
}

fn stored(api: &str) -> BTreeSet<String> {
    until_some("a list of the credentials", PATIENCE, || {
        let answer = run(api, &["credentials", "list", "-o", "json"]);
        let list: serde_json::Value =
            serde_json::from_str(&answer.stdout).map_err(|_| answer.stderr.clone())?;
        let list = list["credentials"]
            .as_array()
            .cloned()
            .ok_or(answer.stderr)?;
        let names = list
            .iter()
            .filter_map(|one| one["endpoint"].as_str().map(str::to_owned));
        Ok::<_, String>(names.collect())
    })
}

#[test]
fn a_cluster_of_one_grows_to_five_and_shrinks_to_three_while_it_serves() {
    let site = Site::default();
    let mut nodes: Vec<StateNode> = ["a", "b", "c", "d", "e"].map(|name| site.node(name)).into();
    nodes[0].start(&[]);
    nodes[0].wait_until_ready();
    let all = apis(&nodes.iter().collect::<Vec<_>>());
    let writer = Writer::start(&all);

    // Two are told of by a person, two ask by themselves.
    for at in [1, 2] {
        nodes[at].start(&["--start", "join"]);
        nodes[at].wait_until_listening();
        let added = run(&all, &["cluster", "add", &nodes[at].internal]);
        assert_eq!(added.code, 0, "{added:?} {}", nodes[at].output());
    }
    wait_for_voters(&all, 3);
    let seed = nodes[0].internal.clone();
    for at in [3, 4] {
        nodes[at].start(&["--start", "join", "--seeds", &seed]);
        nodes[at].wait_until_ready();
    }
    wait_for_voters(&all, 5);

    for at in [0, 1] {
        let id = id_of(&all, &nodes[at]);
        let removed = run(&all, &["cluster", "remove", &id]);
        assert_eq!(removed.code, 0, "{removed:?}");
        nodes[at].kill();
    }
    let rest = apis(&nodes[2..].iter().collect::<Vec<_>>());
    wait_for_voters(&rest, 3);
    let acknowledged = writer.end();
    assert!(!acknowledged.is_empty());
    let lost: Vec<_> = acknowledged.difference(&stored(&rest)).cloned().collect();
    assert!(
        lost.is_empty(),
        "{} of {} are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    assert!(
        store(&rest, "afterwards"),
        "the three that are left take writes"
    );
    until("only the three are known", PATIENCE, || {
        cluster(&rest)["nodes"].as_array().map_or(0, Vec::len) == 3
    });
}

#[test]
fn a_node_that_lost_its_volume_is_replaced_by_itself() {
    let (_site, mut nodes, all) = three();
    assert!(store(&all, "before"));
    let before = id_of(&all, &nodes[2]);
    nodes[2].kill();
    nodes[2].lose_volume();
    let seeds = nodes
        .iter()
        .map(|node| node.internal.clone())
        .collect::<Vec<_>>()
        .join(",");
    nodes[2].start(&["--seeds", &seeds]);
    nodes[2].wait_until_ready();
    wait_for_voters(&all, 3);
    until(
        "the new node counts instead of the old one",
        PATIENCE,
        || {
            let shards = cluster(&all)["shardStates"].to_string();
            !shards.contains(&before)
        },
    );
    assert!(stored(&nodes[2].api).contains("before"));
}

#[test]
fn a_node_that_is_told_so_leads_nothing() {
    let (_site, nodes, all) = three();
    let id = id_of(&all, &nodes[0]);
    let moved = run(&all, &["cluster", "transfer", "--from", &id]);
    assert_eq!(moved.code, 0, "{moved:?}");
    let leads = |api: &str| {
        let cluster = cluster(api);
        let nodes = cluster["nodes"].as_array().cloned().unwrap_or_default();
        let node = nodes.iter().find(|node| node["id"] == id.as_str());
        node.and_then(|node| node["leads"].as_u64())
    };
    assert_eq!(leads(&all), Some(0));
    let back = run(&all, &["cluster", "transfer", "--back-to", &id]);
    assert_eq!(back.code, 0, "{back:?}");
    assert!(leads(&all) > Some(0));
    let unknown = run(&all, &["cluster", "transfer", "--from", "00000000000000ff"]);
    assert_eq!(unknown.code, 3, "{unknown:?}");
}

#[test]
fn what_is_left_of_a_cluster_goes_on_when_it_is_told_so() {
    let (_site, mut nodes, all) = three();
    for number in 0..20 {
        assert!(store(&all, &format!("kept-{number:02}")));
    }
    let refused = run(&all, &["cluster", "unstick", "--yes"]);
    assert_eq!(refused.code, 1, "with a quorum: {refused:?}");
    // A follower may not have the last entries yet; then they would be lost, as they are to be when nobody has them.
    let survivor = nodes[2].api.clone();
    until("all at the survivor", PATIENCE, || {
        stored(&survivor).len() == 20
    });
    let before = cluster(&survivor)["clusterId"].clone();
    nodes[0].kill();
    nodes[1].kill();
    until("no quorum", PATIENCE, || {
        let shards = cluster(&survivor)["shardStates"].clone();
        let shards = shards.as_array().cloned().unwrap_or_default();
        shards.iter().all(|shard| shard["quorum"] == false)
    });
    let told = run(&survivor, &["cluster", "unstick"]);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.stderr.contains("nothing was changed"), "{told:?}");
    let done = run(&survivor, &["cluster", "unstick", "--yes"]);
    assert_eq!(done.code, 0, "{done:?}");
    nodes[2].wait_for_end();

    nodes[2].start(&[]);
    nodes[2].wait_until_ready();
    wait_for_voters(&survivor, 1);
    assert_ne!(cluster(&survivor)["clusterId"], before);
    assert_eq!(stored(&survivor).len(), 20);
    assert!(store(&survivor, "afterwards"));
    // It grows again, by nodes with new volumes.
    nodes[0].lose_volume();
    let seed = nodes[2].internal.clone();
    nodes[0].start(&["--start", "join", "--seeds", &seed]);
    nodes[0].wait_until_ready();
    wait_for_voters(&survivor, 2);
    assert!(stored(&nodes[0].api).contains("afterwards"));
}

/// A running cluster of three, and the addresses of their APIs.
fn three() -> (Site, Vec<StateNode>, String) {
    let site = Site::default();
    let mut nodes: Vec<StateNode> = ["a", "b", "c"].map(|name| site.node(name)).into();
    let seeds: Vec<String> = nodes.iter().map(|node| node.internal.clone()).collect();
    for node in &mut nodes {
        node.start(&["--seeds", &seeds.join(",")]);
    }
    for node in &mut nodes {
        node.wait_until_ready();
    }
    let all = apis(&nodes.iter().collect::<Vec<_>>());
    (site, nodes, all)
}
