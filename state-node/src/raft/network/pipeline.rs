//! Requests of one stream of entries, side by side on their way.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{FutureExt, Stream, StreamExt};
use openraft::errors::RPCError;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};

use crate::raft::TypeConfig;

/// Requests of one group that may be on their way to one node.
const PIPELINE: usize = 32;

type Answer = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// Starts requests in order and gives their answers in order, up to the first that is not a success. An answer is left out
/// while a later request says the same: see below.
///
/// `start` queues a request when it is called; what it returns waits for the answer.
// openraft takes an answer for one to every request so far that ends with the same entry, and renews the leader's lease
// from when the last of these began. A request without entries, which tells what is committed, ends as the one before it
// does. If that one is answered late, because the leader was paused or cut off, it would read by a lease that nobody gave,
// while others have elected another one. So only the last of the requests that end alike has its answer told.
pub fn pipeline<S, F>(
    input: S,
    mut start: impl FnMut(AppendEntriesRequest<TypeConfig>) -> F,
) -> impl Stream<Item = Answer>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>>,
    F: Future<Output = Answer>,
{
    let mut last = Arc::new(AtomicBool::new(false));
    let answers = input.map(move |request| {
        let repeated = Arc::new(AtomicBool::new(false));
        let before = std::mem::replace(&mut last, repeated.clone());
        before.store(request.entries.is_empty(), Ordering::Relaxed);
        start(request).map(|answer| (answer, repeated))
    });
    // It begins all that it may before it gives an answer, and nothing else until it is asked for the next.
    let told = answers.buffered(PIPELINE).filter_map(|(answer, repeated)| {
        let is_repeated = matches!(answer, Ok(Ok(_))) && repeated.load(Ordering::Relaxed);
        std::future::ready((!is_repeated).then_some(answer))
    });
    told.scan(false, |ended, answer| {
        let item = (!*ended).then_some(answer);
        *ended |= !matches!(item, Some(Ok(Ok(_))));
        std::future::ready(item)
    })
}
