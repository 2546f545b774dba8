//! Nodes of two releases in one group: what the older one does not understand is kept from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use device_state::{
    Command, DesiredValue, DeviceName, DriftPolicy, FeatureLevel, Goal, NodeId, Presence,
};
use lwm2m::{Path, Value};
use prometheus_client::registry::Registry;

use super::{Cluster, FIRST_MEMBERS, until};

use crate::dial::Dialer;
use crate::raft::proposals::ProposeError;
use crate::router::{COMMON, Router};
use crate::tenants::{TenantLimits, Tenants};

/// Long enough for several attempts.
const PATIENCE: Duration = Duration::from_millis(500);

fn wanted(path: Path, goal: Goal) -> Command {
    let wish = DesiredValue {
        path,
        goal,
        drift: DriftPolicy::Enforce,
    };
    Command::SetDesired {
        endpoint: DeviceName::parse("meter-1").unwrap(),
        generation: 1,
        resources: vec![wish],
    }
}

/// A leader of a release before leaves out the fields of a message that it does not know, and commits what is left: an
/// object instance that is desired there would become a value.
#[tokio::test(start_paused = true)]
async fn no_leader_elsewhere_is_sent_what_not_all_replicas_understand() {
    let (cluster, leader) = Cluster::start_led().await;
    let follower = cluster.network.group(leader % FIRST_MEMBERS + 1).unwrap();
    until("a follower that knows its leader", || {
        follower.not_leader().leader.is_some()
    })
    .await;
    assert!(follower.feature_level() < FeatureLevel::INSTANCES);
    let dialled = Arc::new(AtomicUsize::new(0));
    let counted = dialled.clone();
    let dialer = Dialer::Secured(Arc::new(move |endpoint| {
        counted.fetch_add(1, Ordering::SeqCst);
        endpoint.connect_lazy()
    }));
    let tenants = Tenants::new(
        &BTreeMap::new(),
        TenantLimits::default(),
        &mut Registry::default(),
    );
    let groups = Arc::new(vec![follower.clone()]);
    let router = Router::new(NodeId(9), groups, dialer, 1, Arc::new(tenants.unwrap()));

    let instance = wanted(
        Path::ObjectInstance(3311, 0),
        Goal::Instance(Presence::Present),
    );
    let told = router.propose(COMMON, None, instance, PATIENCE).await;
    assert_eq!(told, Err(ProposeError::Unavailable));
    assert_eq!(dialled.load(Ordering::SeqCst), 0, "the leader was asked");

    // What every release understands goes there; nobody listens.
    let value = wanted(
        Path::Resource(3, 0, 15),
        Goal::Value(Value::String("UTC".into())),
    );
    let told = router.propose(COMMON, None, value, PATIENCE).await;
    assert!(told.is_err(), "{told:?}");
    assert_eq!(dialled.load(Ordering::SeqCst), 1);
    drop((router, follower));
    cluster.stop().await;
}
