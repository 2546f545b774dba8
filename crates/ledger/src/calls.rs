//! The public API of some nodes, of which any may be away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::tally::Tally;

/// How long a call waits for its answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long a caller asks again for a definite answer once all is well.
const SETTLED: Duration = Duration::from_secs(120);

/// The way to the nodes, and what became of the calls.
#[derive(Clone, Debug)]
pub struct Calls {
    channels: Vec<Channel>,
    tally: Arc<Tally>,
    begun: Instant,
    seed: u64,
    callers: Arc<AtomicU64>,
}

impl Calls {
    /// The nodes at these addresses (`host:port`), connected to by `connect`. Callers choose at random, by `seed`.
    pub fn new(apis: &[String], seed: u64, connect: impl Fn(Endpoint) -> Channel) -> Self {
        let channel = |api: &String| {
            let endpoint = Endpoint::from_shared(format!("http://{api}"))
                .unwrap()
                .connect_timeout(Duration::from_secs(1))
                .http2_keep_alive_interval(Duration::from_secs(1))
                .keep_alive_timeout(Duration::from_secs(2));
            connect(endpoint)
        };
        Self {
            channels: apis.iter().map(channel).collect(),
            tally: Arc::new(Tally::new()),
            begun: Instant::now(),
            seed,
            callers: Arc::default(),
        }
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// A generator for one more caller.
    pub(crate) fn rng(&self) -> ChaCha8Rng {
        let caller = self.callers.fetch_add(1, Ordering::SeqCst);
        ChaCha8Rng::seed_from_u64(self.seed.wrapping_add(caller + 1))
    }

    pub(crate) fn nodes(&self) -> usize {
        self.channels.len()
    }

    pub(crate) fn node(&self, index: usize) -> Channel {
        self.channels[index].clone()
    }

    pub(crate) fn any(&self, rng: &mut ChaCha8Rng) -> Channel {
        self.node(rng.random_range(0..self.nodes()))
    }

    /// Since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }
}

pub(crate) fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

/// Rests between two calls.
pub(crate) async fn rest(rng: &mut ChaCha8Rng, millis: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(rng.random_range(millis))).await;
}

/// What callers cannot act upon: nobody else would get another answer.
pub(crate) fn is_mistake(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::Unimplemented
            | Code::DataLoss
            | Code::Internal
            | Code::Unauthenticated
    ) && !status.details().is_empty()
}

/// Ends a caller that gets no definite answer although all is well.
#[derive(Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn new() -> Self {
        Self(Instant::now() + SETTLED)
    }

    /// It has not come while there are faults.
    pub(crate) fn renew(&mut self) {
        *self = Self::new();
    }

    pub(crate) fn check(&self, what: &str, status: &Status) {
        assert!(
            Instant::now() < self.0,
            "{what}: still no answer but {status:?}"
        );
    }
}
