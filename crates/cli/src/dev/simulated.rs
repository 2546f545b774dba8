//! The simulated devices: their keys, and waiting until all are registered.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use proto::drover::v1::device::State;
use tokio::time::{Instant, sleep};

use crate::api::Api;
use crate::command::credentials::import::{self, PskLine};
use crate::command::devices;
use crate::dev::home::{Home, create_private};
use crate::failure::Failure;
use crate::output::note;

/// Endpoint names are `sim-0001` and on.
pub(crate) const PREFIX: &str = "sim-";
const POLL: Duration = Duration::from_millis(250);
/// Progress is told this often.
const TELL: Duration = Duration::from_secs(5);
const KEY_BYTES: usize = 16;

/// The devices of this directory: as many as asked for, with the keys that they had before.
pub(crate) fn devices_of(home: &Home, count: u16) -> anyhow::Result<Vec<PskLine>> {
    let file = file(home);
    let mut known = match std::fs::read_to_string(&file) {
        Ok(text) => import::parse(&text)
            .map_err(|mistake| anyhow::anyhow!("{}: {mistake}", file.display()))?,
        Err(_) => Vec::new(),
    };
    if known.len() < usize::from(count) {
        for number in known.len() + 1..=usize::from(count) {
            let name = format!("{PREFIX}{number:04}");
            known.push(PskLine {
                endpoint: name.clone(),
                identity: name,
                key: rand::random::<[u8; KEY_BYTES]>().to_vec(),
            });
        }
        write(&file, &known).with_context(|| format!("cannot write {}", file.display()))?;
    }
    known.truncate(count.into());
    Ok(known)
}

/// Their keys, as drover-sim reads them.
pub(crate) fn file(home: &Home) -> PathBuf {
    home.path().join("devices.csv")
}

/// `endpoint,identity,key` with the key in hex.
fn csv(devices: &[PskLine]) -> String {
    devices.iter().fold(String::new(), |mut text, device| {
        let _ = writeln!(
            text,
            "{},{},{}",
            device.endpoint,
            device.identity,
            hex::encode(&device.key)
        );
        text
    })
}

fn write(path: &Path, devices: &[PskLine]) -> std::io::Result<()> {
    let new = path.with_extension("csv.new");
    let _ = std::fs::remove_file(&new);
    create_private(&new)?.write_all(csv(devices).as_bytes())?;
    std::fs::rename(new, path)
}

/// Waits until all devices have registered after `since`: registrations of an earlier run are still listed.
pub(crate) async fn wait(
    api: &Api,
    all: &[PskLine],
    since: SystemTime,
    longest: Duration,
) -> Result<(), Failure> {
    let started = Instant::now();
    let mut told = started;
    loop {
        let listed = devices::all(api, PREFIX, "state = REGISTERED").await?;
        let listed: HashSet<&str> = listed
            .iter()
            .filter(|device| device.state() == State::Registered && registered_since(device, since))
            .map(|device| device.endpoint.as_str())
            .collect();
        let registered = all
            .iter()
            .filter(|device| listed.contains(device.endpoint.as_str()))
            .count();
        if registered >= all.len() {
            return Ok(());
        }
        if started.elapsed() >= longest {
            let text = format!(
                "only {registered} of {} simulated devices registered",
                all.len()
            );
            return Err(Failure::Other(anyhow::anyhow!(text)));
        }
        if told.elapsed() >= TELL {
            told = Instant::now();
            note(&format!(
                "  {registered} of {} devices registered",
                all.len()
            ));
        }
        sleep(POLL).await;
    }
}

fn registered_since(device: &proto::drover::v1::Device, since: SystemTime) -> bool {
    let time = device.registration_time.map(SystemTime::try_from);
    // The API tells times in milliseconds, rounded down.
    time.is_some_and(|time| time.is_ok_and(|time| time + Duration::from_millis(1) > since))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn devices_keep_their_keys() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(Some(dir.path())).unwrap();
        let first = devices_of(&home, 2).unwrap();
        assert_eq!(first[0].endpoint, "sim-0001");
        let more = devices_of(&home, 3).unwrap();
        assert_eq!(more[..2], first[..]);
        assert_eq!(devices_of(&home, 1).unwrap(), first[..1]);
        assert_eq!(devices_of(&home, 3).unwrap(), more);
    }
}
