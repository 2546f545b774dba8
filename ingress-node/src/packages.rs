//! Packages that devices get from this node, by one memory for all workers, and where devices find them.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use device_state::Digest;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use sha2::{Digest as _, Sha256};
use state_client::{Client, DescribeError};
use tokio::sync::Semaphore;

/// Packages on their way from the state tier at a time: with [`Packages::new`]'s capacity they bound the memory, but for
/// those that are being pushed.
const MAX_FETCHES: usize = 2;
/// How long the largest one may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one that was removed is still served, at least.
const LIFETIME: Duration = Duration::from_mins(10);

/// Packages that were fetched from the state tier. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Packages {
    client: Client,
    known: Cache<Digest, Bytes>,
    /// Packages that are pushed may be kept longer than in the cache, and are not to be there twice.
    used: Arc<Mutex<HashMap<Digest, Weak<Package>>>>,
    fetches: Arc<Semaphore>,
}

/// Why a package cannot be had now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("there is none")]
    Unknown,
    #[error("others are on their way")]
    Busy,
    #[error(transparent)]
    StateTier(#[from] DescribeError),
    #[error("what is stored has another digest: {0}")]
    Damaged(Digest),
    #[error("it could not be looked at")]
    Interrupted,
}

impl Packages {
    /// Keeps up to so many bytes, at least [`Artefact::MAX_SIZE`](device_state::Artefact::MAX_SIZE): what is not kept is
    /// fetched anew for each block.
    pub(crate) fn new(client: Client, capacity: u64) -> Self {
        let weigh = |_: &Digest, package: &Bytes| u32::try_from(package.len()).unwrap_or(u32::MAX);
        let known = Cache::builder()
            .max_capacity(capacity)
            .weigher(weigh)
            // The newest one always fits, whatever was asked for more often before.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(LIFETIME);
        Self {
            client,
            known: known.build(),
            used: Arc::default(),
            fetches: Arc::new(Semaphore::new(MAX_FETCHES)),
        }
    }

    /// The package. Whoever asks for it while it is on its way waits for the same one.
    pub(crate) async fn get(&self, wanted: Digest) -> Result<Bytes, Arc<FetchError>> {
        let fetch = async {
            if let Some(package) = self.used(wanted) {
                return Ok(package);
            }
            let _one = self.fetches.try_acquire().map_err(|_| FetchError::Busy)?;
            let found = self.client.artefact(wanted, FETCH_TIMEOUT).await?;
            let package = found.ok_or(FetchError::Unknown)?;
            // A tenth of a second for the largest one, in which others are served.
            let checked = tokio::task::spawn_blocking(move || checked(wanted, package));
            let package = checked.await.map_err(|_| FetchError::Interrupted)??;
            Ok(self.share(wanted, package))
        };
        self.known.try_get_with(wanted, fetch).await
    }

    /// A package that somebody still has.
    fn used(&self, wanted: Digest) -> Option<Bytes> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let package = used.get(&wanted)?.upgrade()?;
        Some(Bytes::from_owner(Shared(package)))
    }

    fn share(&self, digest: Digest, package: Bytes) -> Bytes {
        let package = Arc::new(Package(package));
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, package| package.strong_count() > 0);
        used.insert(digest, Arc::downgrade(&package));
        Bytes::from_owner(Shared(package))
    }
}

/// There as long as somebody has a part of it.
#[derive(Debug)]
struct Package(Bytes);

struct Shared(Arc<Package>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.0
    }
}

/// A package is checked wherever it is read: no device is to install what a disk or a network has changed.
fn checked(wanted: Digest, package: Bytes) -> Result<Bytes, FetchError> {
    let found = Digest(Sha256::digest(&package).into());
    if found == wanted {
        Ok(package)
    } else {
        Err(FetchError::Damaged(found))
    }
}

/// What devices reach this node by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The scheme of the transport.
    pub(crate) scheme: &'static str,
    /// This node's end, if it is known.
    pub(crate) at: Option<SocketAddr>,
}

/// Beginnings of URIs of packages by the scheme that a device talks by, where they are not this node's own address.
pub(crate) type PackageUris = BTreeMap<String, String>;

/// What URIs of packages begin with for a device, up to the host and port; `None` if nothing says where it reaches this
/// node.
pub(crate) fn package_base(given: &PackageUris, reached: Reached) -> Option<String> {
    let Reached { scheme, at } = reached;
    if let Some(base) = given.get(scheme) {
        return Some(base.trim_end_matches('/').to_owned());
    }
    let at = at.filter(|at| !at.ip().is_unspecified())?;
    let at = SocketAddr::new(at.ip().to_canonical(), at.port());
    Some(format!("{scheme}://{at}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(given: &[(&str, &str)], scheme: &'static str, at: Option<&str>) -> Option<String> {
        let given = given.iter();
        let given = given.map(|(scheme, base)| ((*scheme).to_owned(), (*base).to_owned()));
        let at = at.map(|at| at.parse().expect("an address"));
        package_base(&given.collect(), Reached { scheme, at })
    }

    #[test]
    fn a_device_is_sent_where_it_reaches_this_node() {
        let told = |scheme, at| base(&[], scheme, at);
        let expected = "coap://192.0.2.1:5683";
        assert_eq!(
            told("coap", Some("192.0.2.1:5683")).as_deref(),
            Some(expected)
        );
        // A socket of both families.
        assert_eq!(
            told("coap", Some("[::ffff:192.0.2.1]:5683")).as_deref(),
            Some(expected)
        );
        assert_eq!(
            told("coaps+tcp", Some("[2001:db8::1]:5684")).as_deref(),
            Some("coaps+tcp://[2001:db8::1]:5684")
        );
        assert_eq!(told("coap", Some("0.0.0.0:5683")), None);
        assert_eq!(told("coap", None), None);
    }

    #[test]
    fn what_the_configuration_says_goes_first() {
        let given = [("coaps", "coap://fw.example.com:5683/")];
        let told = base(&given, "coaps", Some("192.0.2.1:5684"));
        assert_eq!(told.as_deref(), Some("coap://fw.example.com:5683"));
        let told = base(&given, "coap", Some("192.0.2.1:5683"));
        assert_eq!(told.as_deref(), Some("coap://192.0.2.1:5683"));
    }

    #[test]
    fn a_package_that_changed_is_not_given_out() {
        let package = Bytes::from_static(b"firmware");
        let right = Digest(Sha256::digest(&package).into());
        assert!(checked(right, package.clone()).is_ok());
        let wrong = checked(Digest([0; 32]), package);
        assert!(matches!(wrong, Err(FetchError::Damaged(found)) if found == right));
    }
}
