#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::future::pending;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::Shutdown;
use crate::telemetry::{LogConfig, subscriber};

struct Rig {
    address: SocketAddr,
    readiness: Readiness,
    tasks: Tasks,
    log_level: LogLevel,
    // The level speaks to the subscriber only as long as there is one.
    _subscriber: Box<dyn Send>,
}

impl Rig {
    async fn start(registry: Registry) -> Self {
        let (subscriber, log_level) = subscriber(&LogConfig::default(), io::sink).unwrap();
        let readiness = Readiness::new();
        let tasks = Tasks::new();
        let admin = Admin {
            metrics: Arc::new(registry),
            readiness: readiness.clone(),
            log_level: log_level.clone(),
        };
        let any_port = "127.0.0.1:0".parse().unwrap();
        let address = serve(any_port, admin, &tasks).await.unwrap();
        Self {
            address,
            readiness,
            tasks,
            log_level,
            _subscriber: Box::new(subscriber),
        }
    }

    async fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.request("GET", path, "").await
    }
}

#[tokio::test]
async fn a_node_is_alive_before_it_is_ready_and_says_what_is_missing() {
    let rig = Rig::start(Registry::default()).await;
    let leader = rig.readiness.condition("leader");
    leader.fail("shard 3 has none");
    assert_eq!(rig.get("/livez").await.0, 200);
    assert_eq!(
        rig.get("/readyz").await,
        (503, "leader: shard 3 has none\n".to_owned())
    );
    leader.meet();
    assert_eq!(rig.get("/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(rig.get("/elsewhere").await.0, 404);
}

#[tokio::test]
async fn metrics_are_told_in_text() {
    let mut registry = Registry::with_prefix("drover_state");
    let proposals = Counter::<u64>::default();
    registry.register("proposals", "Commands proposed", proposals.clone());
    proposals.inc_by(7);
    let rig = Rig::start(registry).await;
    let (status, text) = rig.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains("drover_state_proposals_total 7\n"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn the_log_level_is_read_and_replaced() {
    let rig = Rig::start(Registry::default()).await;
    assert_eq!(rig.get("/log-level").await, (200, "info\n".to_owned()));
    assert_eq!(
        rig.request("PUT", "/log-level", "debug\n").await,
        (200, "debug\n".to_owned())
    );
    assert_eq!(rig.log_level.current(), "debug");
    assert_eq!(rig.request("PUT", "/log-level", "udp=loudly").await.0, 400);
    assert_eq!(
        rig.request("PUT", "/log-level", &"x".repeat(MAX_BODY_BYTES + 1))
            .await
            .0,
        413
    );
    assert_eq!(rig.log_level.current(), "debug");
}

#[tokio::test]
async fn the_endpoint_answers_until_the_last_stage_and_then_ends() {
    let rig = Rig::start(Registry::default()).await;
    let url = rig.address;
    rig.tasks
        .spawn_service("store", Stage::Flush, move |drain| async move {
            drain.started().await;
            TcpStream::connect(url).await.unwrap();
        });
    let end = rig
        .tasks
        .shut_down(Duration::from_secs(30), pending())
        .await;
    assert_eq!(end, Shutdown::Clean);
    assert!(TcpStream::connect(rig.address).await.is_err());
}
