#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::Poll;

use futures::future;

use super::*;

fn image(uid: &str) -> FirmwareImage {
    image_in("acme", uid)
}

fn image_in(namespace: &str, uid: &str) -> FirmwareImage {
    let metadata = format!("{{namespace: {namespace}, name: {uid}, uid: {uid}}}");
    serde_yaml_ng::from_str(&format!(
        "{{apiVersion: drover.dev/v1alpha1, kind: FirmwareImage, metadata: {metadata}, spec: \
         {{source: {{uri: 'https://a/b'}}, packageName: p, version: 1.0.0, sizeBytes: 1, digest: 'sha256:0'}}}}"
    ))
    .unwrap()
}

fn failure() -> Failure {
    Failure {
        reason: Reason::FetchFailed,
        message: "nobody is there".to_owned(),
    }
}

/// Lets the orders be carried out until nothing more happens by itself.
async fn settled<F>(fetches: &Fetches<&'static str>, carry_out: impl Fn(&'static str) -> F)
where
    F: Future<Output = Result<(), Failure>>,
{
    let triggers = Triggers::default();
    let mut run = Box::pin(fetches.run(carry_out, &triggers));
    for _ in 0..20 {
        poll_fn(|context| {
            let _never_ends = run.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_image_is_fetched_and_told_as_right() {
    let fetches = Fetches::default();
    let now = Instant::now();
    assert_eq!(fetches.told("a"), None);
    assert!(fetches.is_due("a", false, now));
    fetches.begin(&image("a"), "order");
    assert_eq!(fetches.told("a"), Some(Fetched::Underway));
    assert!(!fetches.is_due("a", false, now));
    settled(&fetches, |order| {
        assert_eq!(order, "order");
        future::ready(Ok(()))
    })
    .await;
    assert!(matches!(fetches.told("a"), Some(Fetched::Checked { .. })));
    assert_eq!(fetches.until_retry("a", now), None);
    // Its object may not say so yet.
    assert!(!fetches.is_due("a", true, now));
    assert!(fetches.is_due("a", false, now), "it was removed since then");
}

#[tokio::test]
async fn what_failed_is_tried_again_later_and_tells_meanwhile_of_what() {
    let fetches = Fetches::default();
    let mut now = Instant::now();
    let failed = Some(Fetched::Failed {
        reason: Reason::FetchFailed,
        message: "nobody is there".to_owned(),
    });
    let mut pauses = Vec::new();
    for _ in 0..12 {
        fetches.begin(&image("a"), "order");
        settled(&fetches, |_| future::ready(Err(failure()))).await;
        assert_eq!(fetches.told("a"), failed);
        let pause = fetches.until_retry("a", now).unwrap();
        assert!(!fetches.is_due("a", false, now));
        assert!(fetches.is_due("a", false, now + pause));
        pauses.push(pause);
        now = Instant::now();
    }
    assert!(pauses[0] <= FIRST_PAUSE * 2, "{pauses:?}");
    assert!(pauses[11] >= LONGEST_PAUSE / 2, "{pauses:?}");
    fetches.begin(&image("a"), "order");
    assert_eq!(
        fetches.told("a"),
        failed,
        "until it is known to be otherwise"
    );
}

#[tokio::test]
async fn two_are_fetched_at_a_time_of_a_namespace_one_and_none_for_an_object_that_is_gone() {
    let fetches = Fetches::default();
    let all = [("x", "a"), ("x", "b"), ("y", "c"), ("y", "d"), ("z", "e")];
    for (namespace, name) in all {
        fetches.begin(&image_in(namespace, name), name);
    }
    fetches.forget("c");
    let (begun, open) = (RefCell::new(Vec::new()), Cell::new(false));
    let carry_out = |order| {
        begun.borrow_mut().push(order);
        let open = &open;
        poll_fn(move |context| {
            if open.get() {
                return Poll::Ready(Ok(()));
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
    };
    let triggers = Triggers::default();
    let mut run = Box::pin(fetches.run(carry_out, &triggers));
    let mut poll = async || {
        for _ in 0..20 {
            poll_fn(|context| {
                let _never_ends = run.as_mut().poll(context);
                Poll::Ready(())
            })
            .await;
        }
    };
    poll().await;
    assert_eq!(*begun.borrow(), ["a", "d"]);
    // What is under way for it ends as well.
    fetches.forget("a");
    poll().await;
    assert_eq!(*begun.borrow(), ["a", "d", "b"]);
    open.set(true);
    poll().await;
    assert_eq!(*begun.borrow(), ["a", "d", "b", "e"]);
    for gone in ["a", "c"] {
        assert_eq!(fetches.told(gone), None);
    }
    for fetched in ["b", "d", "e"] {
        assert!(matches!(
            fetches.told(fetched),
            Some(Fetched::Checked { .. })
        ));
    }
}
