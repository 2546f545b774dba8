//! Answers of others that hold for a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A bounded number of answers, each with its end.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    limit: usize,
    answers: Mutex<HashMap<K, (V, Instant)>>,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            answers: Mutex::default(),
        }
    }

    pub(super) fn get(&self, key: &K, now: Instant) -> Option<V> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, end) = answers.get(key)?;
        (now < *end).then(|| answer.clone())
    }

    pub(super) fn put(&self, key: K, answer: V, lifetime: Duration, now: Instant) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= self.limit {
            answers.retain(|_, (_, end)| now < *end);
        }
        // So many that none has ended: all are asked for again, which is slower and not wrong.
        if answers.len() >= self.limit {
            answers.clear();
        }
        answers.insert(key, (answer, now + lifetime));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_and_their_number_is_bounded() {
        let cache = Cache::new(2);
        let now = Instant::now();
        let second = Duration::from_secs(1);
        cache.put(1, 'a', second, now);
        assert_eq!(cache.get(&1, now), Some('a'));
        assert_eq!(cache.get(&1, now + second), None);
        cache.put(2, 'b', 3 * second, now);
        cache.put(3, 'c', 3 * second, now + second);
        assert_eq!(cache.get(&2, now + second), Some('b'));
        cache.put(4, 'd', second, now + second);
        let kept = (1..5).filter(|key| cache.get(key, now + second).is_some());
        assert_eq!(kept.count(), 1);
    }
}
