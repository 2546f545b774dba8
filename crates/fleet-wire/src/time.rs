//! Times of answers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// Seconds since 1970, whole ones: that is what a status in etcd carries. `None` where no time is so far away.
pub fn time(second: i64) -> Option<Time> {
    Timestamp::from_second(second).ok().map(Time)
}
