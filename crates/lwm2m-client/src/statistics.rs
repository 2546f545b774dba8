//! What the device sends and receives (Connectivity Statistics, `/7`).

use std::time::{Duration, Instant};

/// Counts from a Start to a Stop, or to the end of the collection period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    collecting: Collecting,
    sent: u64,
    received: u64,
    messages: u64,
    largest: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Collecting {
    #[default]
    No,
    UntilStopped,
    Until(Instant),
}

/// In which direction a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Sent,
    Received,
}

impl Statistics {
    /// Begins anew; a period of 0 has no end.
    pub(crate) fn start(&mut self, now: Instant, period: Duration) {
        let end = now.checked_add(period).filter(|_| !period.is_zero());
        *self = Self {
            collecting: end.map_or(Collecting::UntilStopped, Collecting::Until),
            ..Self::default()
        };
    }

    /// Keeps what was counted.
    pub(crate) fn stop(&mut self) {
        self.collecting = Collecting::No;
    }

    pub(crate) fn count(&mut self, now: Instant, direction: Direction, bytes: usize) {
        match self.collecting {
            Collecting::Until(end) if end <= now => self.stop(),
            Collecting::No => {}
            Collecting::UntilStopped | Collecting::Until(_) => {
                let bytes = bytes as u64;
                let total = match direction {
                    Direction::Sent => &mut self.sent,
                    Direction::Received => &mut self.received,
                };
                *total = total.saturating_add(bytes);
                self.messages = self.messages.saturating_add(1);
                self.largest = self.largest.max(bytes);
            }
        }
    }

    /// The unit of the counters: kilobytes, begun ones included.
    pub(crate) fn sent_kilobytes(&self) -> u64 {
        self.sent.div_ceil(1000)
    }

    pub(crate) fn received_kilobytes(&self) -> u64 {
        self.received.div_ceil(1000)
    }

    /// Bytes.
    pub(crate) fn largest(&self) -> u64 {
        self.largest
    }

    /// Bytes; 0 before the first message.
    pub(crate) fn average(&self) -> u64 {
        let bytes = self.sent.saturating_add(self.received);
        bytes.checked_div(self.messages).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_between_start_and_stop() {
        let now = Instant::now();
        let mut statistics = Statistics::default();
        statistics.count(now, Direction::Sent, 50);
        assert_eq!(statistics.largest(), 0);
        statistics.start(now, Duration::ZERO);
        statistics.count(now, Direction::Sent, 1000);
        statistics.count(now, Direction::Received, 1);
        statistics.stop();
        statistics.count(now, Direction::Received, 5000);
        assert_eq!(statistics.sent_kilobytes(), 1);
        assert_eq!(statistics.received_kilobytes(), 1, "begun");
        assert_eq!((statistics.largest(), statistics.average()), (1000, 500));
    }

    #[test]
    fn collecting_ends_with_its_period() {
        let now = Instant::now();
        let mut statistics = Statistics::default();
        statistics.start(now, Duration::from_secs(10));
        statistics.count(now + Duration::from_secs(9), Direction::Sent, 100);
        statistics.count(now + Duration::from_secs(10), Direction::Sent, 700);
        assert_eq!(statistics.largest(), 100);
        statistics.start(now, Duration::ZERO);
        assert_eq!(statistics.sent_kilobytes(), 0, "a start begins anew");
    }
}
