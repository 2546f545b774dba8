//! How a device behaves when its server does not answer (LwM2M Core 1.2 §6.2.1, `/1/x/13` to `/1/x/20`).

use std::time::Duration;

use lwm2m::{Entry, Path, Value};
use rand::Rng;

/// How a device behaves when its server does not answer.
///
/// A device makes `retry_count` attempts, waiting `retry_timer` after the first and twice as long after each further one.
/// After `sequence_delay` it does so again, `sequence_retry_count` times in all; then it goes to its bootstrap server, if
/// `bootstrap_on_failure`.
///
/// LwM2M's own defaults (5 attempts, 60 s, 24 h, one sequence) send a device whose server is away for more than half an
/// hour into a day of silence, or a whole fleet to the bootstrap server. So all of it is written, and the defaults here
/// are others:
///
/// - 5 attempts from 60 s on, the last of which is followed by 16 minutes: a short outage is over quickly for a device,
///   and in a long one it is no burden.
/// - 5 minutes between sequences: no device is silent for longer than 21 minutes, but for the jitter.
/// - 40 sequences, that is a day, before a bootstrap: no outage of a management server that is worth repairing makes the
///   fleet a load on the bootstrap servers, while a device whose credentials were lost is not lost itself.
/// - The first registration is up to 10 s late, the two timers are up to a quarter longer or shorter: devices that lost
///   their server at the same moment do not come back in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// `/1/x/13`: servers with a lower number are registered with first; in any order if `None`.
    pub priority_order: Option<u32>,
    /// `/1/x/14`: drawn from nothing to this.
    pub initial_delay: Duration,
    /// `/1/x/15`: whether a failure here keeps the device from registering with the servers behind it in the order.
    pub failure_block: bool,
    /// `/1/x/16`.
    pub bootstrap_on_failure: bool,
    /// `/1/x/17`: attempts in a sequence.
    pub retry_count: u32,
    /// `/1/x/18`.
    pub retry_timer: Duration,
    /// `/1/x/19`.
    pub sequence_delay: Duration,
    /// `/1/x/20`: sequences.
    pub sequence_retry_count: u32,
    /// By how much the two timers may be longer or shorter, in percent, at most 100.
    pub jitter: u8,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            priority_order: None,
            initial_delay: Duration::from_secs(10),
            failure_block: false,
            bootstrap_on_failure: true,
            retry_count: 5,
            retry_timer: Duration::from_secs(60),
            sequence_delay: Duration::from_secs(300),
            sequence_retry_count: 40,
            jitter: 25,
        }
    }
}

impl RetryPolicy {
    /// The values for instance `server` of the Server object.
    pub(super) fn entries(&self, server: u16, rng: &mut impl Rng) -> Vec<Entry> {
        let at = |id| Path::Resource(1, server, id);
        let number = |id, value: u64| Entry::new(at(id), Value::Unsigned(value));
        let flag = |id, value| Entry::new(at(id), Value::Boolean(value));
        let priority = self.priority_order.map(|order| number(13, order.into()));
        let delay = rng.random_range(0..=self.initial_delay.as_secs());
        let timer = self.spread(self.retry_timer, rng);
        let sequence_delay = self.spread(self.sequence_delay, rng);
        let rest = [
            number(14, delay),
            flag(15, self.failure_block),
            flag(16, self.bootstrap_on_failure),
            number(17, self.retry_count.into()),
            number(18, timer),
            number(19, sequence_delay),
            number(20, self.sequence_retry_count.into()),
        ];
        priority.into_iter().chain(rest).collect()
    }

    /// Whole seconds, at least one: a timer of nothing would make a device try without a pause.
    fn spread(&self, wait: Duration, rng: &mut impl Rng) -> u64 {
        let jitter = f64::from(self.jitter.min(100)) / 100.0;
        let factor = rng.random_range(1.0 - jitter..=1.0 + jitter);
        (wait.as_secs_f64() * factor).round().max(1.0) as u64
    }
}
