//! The tokens that callers carry between calls: page tokens and resume tokens. Opaque to them, checked here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use device_state::Revision;
use device_state::query::FeedPosition;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::service::status;

/// Longer tokens are not ours.
const MAX_TOKEN: usize = 64 << 10;

/// Where the next page of a list starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PageToken {
    pub shard: u16,
    /// The last key of the page before, within the shard.
    pub after: Option<Vec<u8>>,
    /// What the list was asked for; another question does not go on here.
    pub filter: String,
    /// The cluster that the list is of: one that was restored from a backup has another id.
    pub cluster: String,
}

impl PageToken {
    /// Where a list asked for by `filter` goes on: at its beginning without a token. A token of another question, or of
    /// another cluster, is refused.
    pub(super) fn of_request(text: &str, filter: &str, cluster: String) -> Result<Self, Status> {
        if text.is_empty() {
            return Ok(Self {
                shard: 0,
                after: None,
                filter: filter.to_owned(),
                cluster,
            });
        }
        decode(text)
            .filter(|page: &Self| page.filter == filter && page.cluster == cluster)
            .ok_or_else(|| status::field("page_token", &"is not a token of this list"))
    }
}

/// Up to where a watcher has seen the events of each shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ResumeToken {
    pub cluster: String,
    pub positions: Vec<(u64, u32)>,
}

impl ResumeToken {
    pub(super) fn new(cluster: String, positions: &[FeedPosition]) -> Self {
        let positions = positions
            .iter()
            .map(|position| (position.revision.0, position.index))
            .collect();
        Self { cluster, positions }
    }

    pub(super) fn positions(&self) -> Vec<FeedPosition> {
        let position = |(revision, index): &(u64, u32)| FeedPosition {
            revision: Revision(*revision),
            index: *index,
        };
        self.positions.iter().map(position).collect()
    }
}

/// A token as text.
pub(super) fn encode(token: &impl Serialize) -> String {
    // A vector takes every token.
    postcard::to_stdvec(token)
        .map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
        .unwrap_or_default()
}

/// A token from text; `None` if it is not one of ours.
pub(super) fn decode<T: DeserializeOwned>(text: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .ok()
        .filter(|_| text.len() <= MAX_TOKEN)?;
    let (token, rest) = postcard::take_from_bytes(&bytes).ok()?;
    rest.is_empty().then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was_given() {
        let positions = [
            FeedPosition {
                revision: Revision(7),
                index: 3,
            },
            FeedPosition::START,
        ];
        let token = ResumeToken::new("c".to_owned(), &positions);
        let read: ResumeToken = decode(&encode(&token)).expect("our own token");
        assert_eq!(read.positions(), positions);
    }

    #[test]
    fn a_page_goes_on_in_its_own_list_only() {
        let cluster = || "c".to_owned();
        let mut page = PageToken::of_request("", "meter", cluster()).expect("the first page");
        page.after = Some(b"meter-7".to_vec());
        let text = encode(&page);
        let read = PageToken::of_request(&text, "meter", cluster()).expect("our own token");
        assert_eq!(read, page);
        assert!(PageToken::of_request(&text, "pump", cluster()).is_err());
        assert!(PageToken::of_request(&text, "meter", "restored".to_owned()).is_err());
    }

    #[test]
    fn a_made_up_token_is_refused() {
        assert_eq!(decode::<ResumeToken>("not a token"), None);
        assert_eq!(decode::<ResumeToken>("AAAA____"), None);
    }
}
