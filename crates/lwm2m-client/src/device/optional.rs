//! What the optional objects do: statistics, the event log, several error codes.

use std::time::{Duration, Instant};

use coap::{Code, Request};
use lwm2m::{Path, Value};

use super::Towards;
use crate::objects::{
    AVERAGE_MESSAGE, COLLECTION_PERIOD, ERROR_CODES, LARGEST_MESSAGE, LOG_DATA, LOG_START,
    LOG_STATUS, LOG_STOP, RECEIVED_KILOBYTES, SENT_KILOBYTES, START_COLLECTING, STOP_COLLECTING,
};
use crate::statistics::Direction;
use crate::tree::Change;

/// Bytes of the event log; older lines make way.
const MAX_LOG_BYTES: usize = 2048;

/// `/20/0/4013`: the log is being written.
const LOG_RUNS: i64 = 1;

/// `/20/0/4013`: the log holds something.
const LOG_IS_VALID: i64 = 2;

impl Towards<'_> {
    pub(super) fn report_errors(&mut self, now: Instant, codes: &[u8]) {
        let codes = if codes.is_empty() { &[0] } else { codes };
        let values = codes.iter().map(|code| Value::Integer(i64::from(*code)));
        if self.body.tree.replace_instances(ERROR_CODES, values) == Change::Value {
            self.values_changed(now, &[ERROR_CODES]);
            self.drain_coap(now);
        }
    }

    pub(super) fn count(&mut self, now: Instant, direction: Direction, bytes: usize) {
        if let Some(statistics) = &mut self.body.statistics {
            statistics.count(now, direction, bytes);
        }
    }

    /// Shows what was counted, and returns what of it is new.
    pub(super) fn refresh_statistics(&mut self) -> Vec<Path> {
        let Some(statistics) = &self.body.statistics else {
            return Vec::new();
        };
        let shown = [
            (SENT_KILOBYTES, statistics.sent_kilobytes()),
            (RECEIVED_KILOBYTES, statistics.received_kilobytes()),
            (LARGEST_MESSAGE, statistics.largest()),
            (AVERAGE_MESSAGE, statistics.average()),
        ];
        let mut changed = Vec::new();
        for (path, number) in shown {
            let value = Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
            if self.body.tree.set(path, value) == Ok(Change::Value) {
                changed.push(path);
            }
        }
        changed
    }

    /// Executes an action of an optional object.
    pub(super) fn execute_optional(&mut self, now: Instant, path: Path) {
        match path {
            START_COLLECTING => {
                let period = match self.body.tree.value(COLLECTION_PERIOD) {
                    Some(Value::Integer(secs)) => u64::try_from(*secs).unwrap_or(0),
                    _ => 0,
                };
                if let Some(statistics) = &mut self.body.statistics {
                    statistics.start(now, Duration::from_secs(period));
                }
            }
            STOP_COLLECTING => {
                if let Some(statistics) = &mut self.body.statistics {
                    statistics.stop();
                }
            }
            LOG_START => self.set_log(now, LOG_RUNS, Some(Vec::new())),
            LOG_STOP => self.set_log(now, LOG_IS_VALID, None),
            _ => {}
        }
    }

    fn set_log(&mut self, now: Instant, status: i64, data: Option<Vec<u8>>) {
        let data = data.map(|data| (LOG_DATA, Value::Opaque(data)));
        let mut changed = Vec::new();
        for (path, value) in data
            .into_iter()
            .chain([(LOG_STATUS, Value::Integer(status))])
        {
            if self.body.tree.set(path, value) == Ok(Change::Value) {
                changed.push(path);
            }
        }
        self.values_changed(now, &changed);
    }

    /// What a request did besides what it asked for: the log has a line more, the counters moved.
    pub(super) fn note_request(
        &mut self,
        now: Instant,
        request: &Request,
        code: Code,
        counted: Vec<Path>,
    ) {
        self.values_changed(now, &counted);
        if self.body.tree.value(LOG_STATUS) != Some(&Value::Integer(LOG_RUNS)) {
            return;
        }
        let Some(Value::Opaque(log)) = self.body.tree.value(LOG_DATA) else {
            return;
        };
        let line = format!(
            "{:?} /{} {code:?}\n",
            request.method,
            request.path.join("/")
        );
        let mut log = log.clone();
        log.extend_from_slice(line.as_bytes());
        let surplus = log.len().saturating_sub(MAX_LOG_BYTES);
        log.drain(..surplus);
        self.set_log(now, LOG_RUNS, Some(log));
    }
}
