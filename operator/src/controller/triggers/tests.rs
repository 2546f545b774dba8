use std::pin::pin;

use crd::Device;
use tokio::time::advance;

use super::*;

const PAUSE: Duration = Duration::from_secs(1);

fn device(name: &str) -> ObjectRef<Device> {
    ObjectRef::new(name).within("acme")
}

#[tokio::test(start_paused = true)]
async fn what_is_added_all_the_time_comes_once_in_a_while() {
    let triggers = Arc::new(Triggers::default());
    let mut stream = pin!(stream(Arc::clone(&triggers), PAUSE));
    triggers.add([device("a")]);
    assert_eq!(stream.next().await, Some(device("a")));
    let begun = Instant::now();
    for _ in 0..9 {
        triggers.add([device("a")]);
        advance(PAUSE / 10).await;
        assert!(futures::poll!(stream.next()).is_pending());
    }
    assert_eq!(stream.next().await, Some(device("a")));
    assert!(begun.elapsed() >= PAUSE);
    // Nothing is left of the others.
    advance(PAUSE * 2).await;
    assert!(futures::poll!(stream.next()).is_pending());
    // After a rest there is no pause.
    triggers.add([device("b")]);
    let added = Instant::now();
    assert_eq!(stream.next().await, Some(device("b")));
    assert!(added.elapsed() < PAUSE / 10);
}
