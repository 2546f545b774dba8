//! `WatchEvents`: who watches what, and from where.

use std::sync::Arc;

use device_state::query::FeedPosition;
use device_state::{DeviceName, Devices, EventFilter, Revision};
use futures::StreamExt;
use futures::stream::BoxStream;
use node_runtime::Stage;
use proto::convert::public::{Beginning, InNamespace, WatchRequest};
use proto::drover::v1::{WatchEventsRequest, WatchEventsResponse};
use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::raft::group::Group;
use crate::seal::{self, Signer};
use crate::service::api::Api;
use crate::service::api::token::{self, Reading, Token};
use crate::service::status;
use crate::service::watch::{Listed, Place, Spot, TokenWriter, WatchParts};

/// Up to where a watcher has seen the events of each shard that it watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ResumeToken {
    cluster: String,
    /// Of what is watched; another watch does not go on here.
    filter: u64,
    places: Vec<(u64, u32, ListedToken)>,
}

impl Token for ResumeToken {
    const PURPOSE: &'static [u8] = b"resume";
}

/// Which devices of a shard have come. The order of the variants never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ListedToken {
    All,
    None,
    UpTo(String),
}

/// Writes the tokens of a watch.
struct ResumeTokens {
    signer: Signer,
    cluster: String,
    filter: u64,
}

impl TokenWriter for ResumeTokens {
    fn token(&self, spots: &mut dyn Iterator<Item = &Spot>) -> String {
        let token = ResumeToken {
            cluster: self.cluster.clone(),
            filter: self.filter,
            places: spots.map(written).collect(),
        };
        token::encode(&self.signer, &token)
    }
}

fn written(spot: &Spot) -> (u64, u32, ListedToken) {
    let listed = match &spot.listed {
        Listed::All => ListedToken::All,
        Listed::Nothing => ListedToken::None,
        Listed::UpTo(name) => ListedToken::UpTo(name.stored().to_owned()),
    };
    (spot.position.revision.0, spot.position.index, listed)
}

/// `None` for a name that no device can have.
fn read((revision, index, listed): (u64, u32, ListedToken)) -> Option<Spot> {
    let listed = match listed {
        ListedToken::All => Listed::All,
        ListedToken::None => Listed::Nothing,
        ListedToken::UpTo(name) => Listed::UpTo(DeviceName::parse(&name).ok()?),
    };
    let position = FeedPosition {
        revision: Revision(revision),
        index,
    };
    Some(Spot { position, listed })
}

impl Api {
    pub(super) fn watch(
        &self,
        request: InNamespace<WatchEventsRequest>,
    ) -> Result<BoxStream<'static, Result<WatchEventsResponse, Status>>, Status> {
        let request = WatchRequest::try_from(request).map_err(|error| status::convert(&error))?;
        let cluster = self.cluster_id();
        if cluster.is_empty() {
            return Err(status::no_leader());
        }
        let groups = self.groups_of(&request.filter);
        let tokens = ResumeTokens {
            signer: self.signer.clone(),
            cluster,
            filter: digest(&request.filter),
        };
        let spots = match request.resume_token.as_str() {
            "" => groups
                .iter()
                .map(|group| beginning(group, request.beginning))
                .collect(),
            text => tokens.resume(text, groups.len())?,
        };
        let places = groups.into_iter().zip(spots);
        let parts = WatchParts {
            places: places
                .map(|(group, spot)| Place::new(group, spot))
                .collect(),
            filter: request.filter,
            checkpoint: request.checkpoint,
            tokens: Box::new(tokens),
        };
        let (watch, inbox) = self.watchers.admit(parts)?;
        self.tasks
            .spawn_job("watch", Stage::Intake, |drain| watch.run(drain));
        Ok(inbox.boxed())
    }

    /// The shards of the devices that are watched.
    fn groups_of(&self, filter: &EventFilter) -> Vec<Arc<Group>> {
        match &filter.devices {
            Devices::Prefix(_) => self.router().groups().to_vec(),
            Devices::Named(name) => vec![self.router().group_of(name).clone()],
        }
    }
}

fn beginning(group: &Group, beginning: Beginning) -> Spot {
    let listed = match beginning {
        Beginning::Now => Listed::All,
        Beginning::Present => Listed::Nothing,
    };
    Spot {
        position: FeedPosition::after(group.events().revision()),
        listed,
    }
}

impl ResumeTokens {
    /// Where a token left off.
    fn resume(&self, text: &str, shards: usize) -> Result<Vec<Spot>, Status> {
        let not_ours = || status::field("resume_token", &"is not a resume token");
        let token = match token::read::<ResumeToken>(&self.signer, text) {
            Reading::Genuine(token) | Reading::Unsigned(token) if token.cluster != self.cluster => {
                // Another cluster has another key, and a cluster that was restored from a backup another id: its history
                // is not the one that the watcher has seen.
                return Err(status::resume_token_expired());
            }
            Reading::Genuine(token) => token,
            Reading::Unsigned(_) | Reading::Unreadable => return Err(not_ours()),
        };
        if token.filter != self.filter {
            let other = "is of a watch with another endpoint or filter";
            return Err(status::field("resume_token", &other));
        }
        let spots: Option<Vec<Spot>> = token.places.into_iter().map(read).collect();
        spots
            .filter(|spots| spots.len() == shards)
            .ok_or_else(not_ours)
    }
}

/// What stands for a filter in tokens: the same for filters that want the same. Never change.
fn digest(filter: &EventFilter) -> u64 {
    let (how, name) = match &filter.devices {
        Devices::Prefix(prefix) => {
            let namespace = prefix.namespace().cloned().unwrap_or_default();
            (b"prefix".as_slice(), namespace.qualify(prefix.beginning()))
        }
        Devices::Named(name) => (b"named".as_slice(), name.stored().to_owned()),
    };
    let kinds: Vec<u8> = filter.kinds.iter().map(|kind| *kind as u8).collect();
    let mut paths: Vec<String> = filter.paths.iter().map(ToString::to_string).collect();
    paths.sort();
    paths.dedup();
    seal::fingerprint(&[how, name.as_bytes(), &kinds, paths.join(" ").as_bytes()]).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::Seal;
    use device_state::{DevicePrefix, Namespace};
    use tonic::Code;
    use tonic_types::StatusExt;

    fn tokens(key: u8, cluster: &str, filter: u64) -> ResumeTokens {
        ResumeTokens {
            signer: Seal::new(&[key; 32]).signer().clone(),
            cluster: cluster.to_owned(),
            filter,
        }
    }

    fn spots() -> Vec<Spot> {
        let name = DeviceName::parse("meter").expect("a name");
        let spot = |revision, listed| Spot {
            position: FeedPosition::after(Revision(revision)),
            listed,
        };
        vec![
            spot(7, Listed::All),
            spot(9, Listed::UpTo(name)),
            spot(0, Listed::Nothing),
        ]
    }

    fn of(namespace: &Namespace, beginning: &str) -> DevicePrefix {
        DevicePrefix::new(namespace, beginning)
    }

    fn refusal(tokens: &ResumeTokens, text: &str) -> (Code, String) {
        let status = tokens.resume(text, 3).expect_err("another watch");
        let reason = status.get_details_error_info().map(|info| info.reason);
        (status.code(), reason.unwrap_or_default())
    }

    #[test]
    fn a_token_goes_on_where_it_was_given_and_nowhere_else() {
        let own = tokens(7, "c", 1);
        let text = own.token(&mut spots().iter());
        assert_eq!(own.resume(&text, 3).ok(), Some(spots()));
        let expired = (Code::OutOfRange, "RESUME_TOKEN_EXPIRED".to_owned());
        let invalid = (Code::InvalidArgument, "INVALID_FIELD".to_owned());
        assert_eq!(refusal(&tokens(7, "restored", 1), &text), expired);
        assert_eq!(refusal(&tokens(8, "other", 1), &text), expired);
        assert_eq!(refusal(&tokens(7, "c", 2), &text), invalid);
        // Made by somebody who does not have the key.
        assert_eq!(refusal(&tokens(8, "c", 1), &text), invalid);
        assert_eq!(refusal(&own, "made up"), invalid);
        assert_eq!(refusal(&own, &text[1..]), invalid);
    }

    #[test]
    fn the_same_filter_has_the_same_digest() {
        let paths = |texts: &[&str]| EventFilter {
            paths: texts
                .iter()
                .map(|text| text.parse().expect("a path"))
                .collect(),
            ..EventFilter::everything_of(Devices::Prefix(of(&Namespace::default(), "")))
        };
        assert_eq!(
            digest(&paths(&["/3", "/4"])),
            digest(&paths(&["/4", "/3", "/3"]))
        );
        assert_ne!(digest(&paths(&["/3"])), digest(&paths(&["/3/0"])));
        let named = DeviceName::parse("a").expect("a name");
        let named = EventFilter::everything_of(Devices::Named(named));
        let prefix = EventFilter::everything_of(Devices::Prefix(of(&Namespace::default(), "a")));
        assert_ne!(digest(&named), digest(&prefix));
        let acme = Namespace::new("acme").expect("a namespace");
        let other = EventFilter::everything_of(Devices::Prefix(of(&acme, "a")));
        assert_ne!(digest(&prefix), digest(&other));
        // Tokens of earlier releases stay good.
        assert_eq!(digest(&prefix), 0xeafa_4961_8705_24f4);
    }
}
