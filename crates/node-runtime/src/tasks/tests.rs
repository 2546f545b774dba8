use std::future::pending;

use super::*;

const GRACE: Duration = Duration::from_secs(8);

fn noting(tasks: &Tasks, log: &Arc<Mutex<Vec<String>>>, name: &'static str, stage: Stage) {
    let log = Arc::clone(log);
    tasks.spawn_service(name, stage, |drain| async move {
        drain.started().await;
        tokio::task::yield_now().await;
        lock(&log).push(name.to_owned());
    });
}

#[tokio::test]
async fn stages_are_drained_in_order() {
    let tasks = Tasks::new();
    let log = Arc::default();
    noting(&tasks, &log, "admin", Stage::Admin);
    noting(&tasks, &log, "store", Stage::Flush);
    noting(&tasks, &log, "udp", Stage::Intake);
    noting(&tasks, &log, "leases", Stage::HandOver);
    assert_eq!(tasks.shut_down(GRACE, pending()).await, Shutdown::Clean);
    assert_eq!(*lock(&log), ["udp", "leases", "store", "admin"]);
    assert!(tasks.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_hangs_is_aborted_and_named_and_the_later_stages_run() {
    let tasks = Tasks::new();
    let log = Arc::default();
    tasks
        .scoped("raft")
        .spawn_service("apply", Stage::Intake, |_| pending());
    noting(&tasks, &log, "store", Stage::Flush);
    let began = Instant::now();
    let end = tasks.shut_down(GRACE, pending()).await;
    assert_eq!(
        end,
        Shutdown::Overdue {
            aborted: vec!["raft/apply".to_owned()]
        }
    );
    assert_eq!(*lock(&log), ["store"]);
    assert!(began.elapsed() < GRACE);
}

#[tokio::test]
async fn an_interrupt_ends_the_shutdown_at_once() {
    let tasks = Tasks::new();
    tasks.spawn_job("slow", Stage::Intake, |_| pending());
    let end = tasks.shut_down(GRACE, async {}).await;
    assert_eq!(
        end,
        Shutdown::Interrupted {
            running: vec!["slow".to_owned()]
        }
    );
}

#[tokio::test]
async fn a_service_that_returns_or_panics_fails_the_node() {
    let tasks = Tasks::new();
    tasks.spawn_service("udp", Stage::Intake, |_| async {});
    let failure = Failure {
        task: "udp".to_owned(),
        cause: Cause::Returned,
    };
    assert_eq!(tasks.failed().await, failure);

    let tasks = Tasks::new();
    tasks.spawn_service("apply", Stage::Flush, |_| async { panic!("invariant") });
    assert_eq!(tasks.failed().await.cause, Cause::Panicked);
}

#[tokio::test]
async fn a_job_may_end_and_an_aborted_service_is_no_failure() {
    let tasks = Tasks::new();
    tasks.spawn_job("one-off", Stage::Intake, |_| async {});
    tasks.spawn_job("broken", Stage::Intake, |_| async { panic!("bad input") });
    tasks.spawn_service("udp", Stage::Intake, Drain::started_owned);
    assert_eq!(tasks.shut_down(GRACE, pending()).await, Shutdown::Clean);
    assert!(lock(&tasks.shared.failure).is_none());
}
