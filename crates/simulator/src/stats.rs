//! What a fleet counts while it runs.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters that all shards share.
        #[derive(Debug, Default)]
        pub(crate) struct Stats {
            $(pub(crate) $name: Counter,)*
        }

        /// The counts of a fleet at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Totals {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            pub(crate) fn totals(&self) -> Totals {
                Totals { $($name: self.$name.get(),)* }
            }
        }

        impl Totals {
            /// Name and value of every count.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }
    };
}

counters! {
    /// Devices that began.
    started,
    /// Devices registered now.
    registered,
    /// Registers accepted.
    registrations,
    /// Registers refused or not answered.
    registration_failures,
    /// DTLS handshakes completed, and connections made.
    handshakes,
    /// DTLS handshakes that failed, and connections that were not made.
    handshake_failures,
    /// DTLS sessions and connections lost.
    sessions_lost,
    /// Updates accepted.
    updates,
    /// Updates refused or not answered.
    update_failures,
    /// Notifications sent.
    notifications,
    /// Actions executed by the server.
    executed,
    /// Writes of the server.
    written,
    /// Reboots.
    reboots,
    /// Datagrams sent, and writes on connections.
    datagrams_sent,
    /// Datagrams that the socket did not take.
    datagrams_dropped,
    /// Datagrams received, and reads from connections.
    datagrams_received,
}

/// A number that several threads change and nobody waits for.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
