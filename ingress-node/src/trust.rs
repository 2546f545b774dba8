//! What the node proves itself with to devices, and which certificates of theirs it believes: read from files, and read
//! again when they change.

mod judgement;
mod tls;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use dtls::{Credential, ServerCredentials, SigningKey, TrustAnchors};
use node_runtime::{Drain, clock};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;

use crate::config::Config;
use crate::driver::Input;
use crate::metrics::Metrics;

pub(crate) use judgement::{Judgement, judge};
use tls::TlsFiles;

/// A key of this node in DTLS.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DtlsKey {
    /// PEM file with a P-256 private key (PKCS#8 or SEC1).
    key_file: PathBuf,
    /// PEM file with the certificate of that key and those that lead to the root; without it the key is shown raw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate_file: Option<PathBuf>,
    /// Server names (SNI) that it is for. Without any it is for the DNS names in the certificate; the first key of each
    /// type is also for devices that ask for no name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    server_names: Vec<String>,
}

/// What becomes of certificates whose issuer's revocation list is past its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExpiredLists {
    /// Their handshakes are refused.
    #[default]
    Refuse,
    /// They are accepted unless the list names them.
    Trust,
}

/// The content of all files.
pub(crate) struct Trust {
    pub(crate) credentials: ServerCredentials,
    /// Of devices.
    pub(crate) anchors: Arc<TrustAnchors>,
    /// Secures connections, if TLS is served.
    pub(crate) tls: Option<TlsAcceptor>,
    /// When the first list in each file expires, since 1970.
    expiries: Expiries,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("anchors", &self.anchors)
            .finish_non_exhaustive()
    }
}

type Expiries = BTreeMap<PathBuf, Duration>;

/// The files.
#[derive(Clone, Debug)]
pub(crate) struct TrustFiles {
    keys: Vec<DtlsKey>,
    authorities: Option<PathBuf>,
    revocations: Vec<PathBuf>,
    expired_lists: ExpiredLists,
    tls: Option<TlsFiles>,
}

impl TrustFiles {
    pub(crate) fn of(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            keys: config.dtls_keys.clone(),
            authorities: config.client_authorities_file.clone(),
            revocations: config.revocation_list_files.clone(),
            expired_lists: config.expired_revocation_lists,
            tls: TlsFiles::of(config)?,
        })
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        let keys = self.keys.iter().flat_map(|key| {
            let certificate = key.certificate_file.as_deref();
            std::iter::once(key.key_file.as_path()).chain(certificate)
        });
        keys.chain(self.tls.iter().flat_map(TlsFiles::paths))
            .chain(self.authorities.as_deref())
            .chain(self.revocations.iter().map(PathBuf::as_path))
    }

    /// Changes with the content of the files.
    fn digest(&self) -> [u8; 32] {
        let digest = self.paths().fold(Sha256::new(), |digest, path| {
            // A file that is missing now is told of when it is read.
            let content = std::fs::read(path).unwrap_or_default();
            digest.chain_update(Sha256::digest(content))
        });
        digest.finalize().into()
    }

    pub(crate) fn read(&self) -> anyhow::Result<Trust> {
        let mut credentials = ServerCredentials::default();
        for key in &self.keys {
            let (names, credential) = key.read()?;
            credentials.add(names, credential);
        }
        let authorities = match &self.authorities {
            Some(path) => pem::<CertificateDer<'_>>("client_authorities_file", path)?,
            None => Vec::new(),
        };
        let (mut lists, mut files) = (Vec::new(), Vec::new());
        for path in &self.revocations {
            let found = pem::<CertificateRevocationListDer<'_>>("revocation_list_files", path)?;
            files.extend(found.iter().map(|_| path));
            lists.extend(found);
        }
        let anchors = TrustAnchors::new(&authorities, &lists)
            .context("client_authorities_file or revocation_list_files")?
            .with_expired_lists(match self.expired_lists {
                ExpiredLists::Refuse => dtls::ExpiredLists::Refuse,
                ExpiredLists::Trust => dtls::ExpiredLists::Trust,
            });
        let mut expiries = Expiries::new();
        for (file, next_update) in files.into_iter().zip(anchors.next_updates()) {
            let first = expiries.entry(file.clone()).or_insert(*next_update);
            *first = (*first).min(*next_update);
        }
        let anchors = Arc::new(anchors);
        let tls = self.tls.as_ref().map(|files| files.read(&anchors));
        Ok(Trust {
            credentials,
            anchors,
            tls: tls.transpose()?,
            expiries,
        })
    }
}

impl DtlsKey {
    fn read(&self) -> anyhow::Result<(Vec<String>, Credential)> {
        let place = || format!("dtls_keys: cannot use {}", self.key_file.display());
        let der = PrivateKeyDer::from_pem_file(&self.key_file).with_context(place)?;
        let key = SigningKey::from_der(der.secret_der()).with_context(place)?;
        let Some(file) = &self.certificate_file else {
            return Ok((self.server_names.clone(), Credential::raw_public_key(key)));
        };
        let chain = pem::<CertificateDer<'_>>("dtls_keys", file)?;
        let chain = chain.iter().map(|certificate| certificate.to_vec());
        let credential = Credential::certificates(chain.collect(), key)
            .with_context(|| format!("dtls_keys: cannot use {}", file.display()))?;
        let names = if self.server_names.is_empty() {
            credential.dns_names()
        } else {
            self.server_names.clone()
        };
        Ok((names, credential))
    }
}

/// All items of a kind in a PEM file; there has to be one at least.
fn pem<T: PemObject>(key: &str, path: &Path) -> anyhow::Result<Vec<T>> {
    let items = T::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<T>, _>>)
        .with_context(|| format!("{key}: cannot read {}", path.display()))?;
    anyhow::ensure!(
        !items.is_empty(),
        "{key}: {} holds nothing of the kind that is expected in PEM",
        path.display()
    );
    Ok(items)
}

/// The files of revocation lists that have expired, which are told of once.
#[derive(Debug, Default)]
struct Expired(Expiries);

impl Expired {
    /// Those that have expired since the last call.
    fn new_ones<'a>(
        &mut self,
        expiries: &'a Expiries,
        now: Duration,
    ) -> impl Iterator<Item = &'a Path> {
        let is_expired = move |entry: &(&PathBuf, &Duration)| *entry.1 <= now;
        let expired: Expiries = expiries
            .iter()
            .filter(is_expired)
            .map(|(file, expiry)| (file.clone(), *expiry))
            .collect();
        let told = std::mem::replace(&mut self.0, expired);
        let is_new = move |entry: &(&PathBuf, &Duration)| {
            is_expired(entry) && told.get(entry.0) != Some(entry.1)
        };
        expiries
            .iter()
            .filter(is_new)
            .map(|(file, _)| file.as_path())
    }
}

fn tell_of_expired(expired: &mut Expired, trust: &Trust, rule: ExpiredLists) {
    let now = Duration::from_millis(clock::now_ms());
    for file in expired.new_ones(&trust.expiries, now) {
        tracing::warn!(
            file = %file.display(),
            expired_revocation_lists = ?rule,
            "a revocation list has expired"
        );
    }
}

/// Reads the files again whenever they change, and hands what they say to the workers. Files that cannot be used leave
/// everything as it was.
pub(crate) async fn watch(
    files: TrustFiles,
    mut trust: Arc<Trust>,
    every: Duration,
    workers: Vec<mpsc::Sender<Input>>,
    metrics: Metrics,
    drain: Drain,
) {
    let mut seen = files.digest();
    let mut expired = Expired::default();
    metrics.set_revocation_lists(&trust.expiries);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = drain.started() => return,
        }
        tell_of_expired(&mut expired, &trust, files.expired_lists);
        let digest = files.digest();
        if digest == seen {
            continue;
        }
        match files.read() {
            Ok(new) => {
                trust = Arc::new(new);
                metrics.set_revocation_lists(&trust.expiries);
                for worker in &workers {
                    if worker.send(Input::Trust(trust.clone())).await.is_err() {
                        return;
                    }
                }
                seen = digest;
                metrics.trust_reloads.inc();
                tracing::info!("keys, authorities and revocation lists were read again");
            }
            Err(error) => {
                // Said once for each state that the files are in.
                seen = digest;
                metrics.trust_reload_failures.inc();
                tracing::error!(
                    error = format!("{error:#}"),
                    "changed keys, authorities or revocation lists cannot be used; those before stay"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_list_is_told_of_once_and_again_when_its_successor_expires() {
        let lists = |seconds: [u64; 2]| {
            let files = ["a.crl", "b.crl"].map(PathBuf::from);
            let expiries = seconds.map(Duration::from_secs);
            files.into_iter().zip(expiries).collect::<Expiries>()
        };
        let mut expired = Expired::default();
        let mut told = |lists: &Expiries, now| {
            let new = expired.new_ones(lists, Duration::from_secs(now));
            new.map(|file| file.display().to_string())
                .collect::<Vec<_>>()
        };
        let first = lists([100, 200]);
        assert!(told(&first, 99).is_empty());
        assert_eq!(told(&first, 100), ["a.crl"]);
        assert!(told(&first, 199).is_empty());
        assert_eq!(told(&first, 200), ["b.crl"]);
        let second = lists([300, 200]);
        assert!(told(&second, 250).is_empty());
        assert_eq!(told(&second, 300), ["a.crl"]);
    }
}
