//! The tokens that callers carry between calls: page tokens and resume tokens. Opaque to them, signed and checked here.
//!
//! A token is the base64 of a format byte, the token's fields, and a signature over both.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::seal::Signer;
use crate::service::status;

/// Longer tokens are not ours.
const MAX_TOKEN: usize = 64 << 10;
/// First byte of every token. Another format gets another number.
const FORMAT: u8 = 1;

/// What can be a token.
pub(super) trait Token: Serialize + DeserializeOwned {
    /// What it is signed for: a token of one kind is none of another. Never change.
    const PURPOSE: &'static [u8];
}

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

impl Token for PageToken {
    const PURPOSE: &'static [u8] = b"page";
}

impl PageToken {
    /// Where a list asked for by `filter` goes on: at its beginning without a token. A token of another question, or of
    /// another cluster, is refused.
    pub(super) fn of_request(
        signer: &Signer,
        text: &str,
        filter: &str,
        cluster: String,
    ) -> Result<Self, Status> {
        if text.is_empty() {
            return Ok(Self {
                shard: 0,
                after: None,
                filter: filter.to_owned(),
                cluster,
            });
        }
        let Reading::Genuine(page) = read::<Self>(signer, text) else {
            return Err(status::field("page_token", &"is not a page token"));
        };
        if page.filter == filter && page.cluster == cluster {
            Ok(page)
        } else {
            Err(status::field("page_token", &"is not a token of this list"))
        }
    }
}

/// What a text turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading<T> {
    Genuine(T),
    /// It has the form of a token, and another signature: of another cluster, damaged, or made up.
    Unsigned(T),
    /// It is no token.
    Unreadable,
}

/// A token as text.
pub(super) fn encode<T: Token>(signer: &Signer, token: &T) -> String {
    // A vector takes every token.
    let bytes = postcard::to_extend(token, vec![FORMAT]).unwrap_or_default();
    let signature = signer.sign(T::PURPOSE, &bytes);
    URL_SAFE_NO_PAD.encode([&bytes[..], &signature].concat())
}

/// A token from text.
pub(super) fn read<T: Token>(signer: &Signer, text: &str) -> Reading<T> {
    let Some((signed, signature)) = split(text) else {
        return Reading::Unreadable;
    };
    match postcard::take_from_bytes(&signed[1..]) {
        Ok((token, [])) if signer.is_signed(T::PURPOSE, &signed, &signature) => {
            Reading::Genuine(token)
        }
        Ok((token, [])) => Reading::Unsigned(token),
        Ok(_) | Err(_) => Reading::Unreadable,
    }
}

/// What is signed, which begins with the format byte, and the signature.
fn split(text: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    if text.len() > MAX_TOKEN {
        return None;
    }
    let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let signature = bytes.split_off(bytes.len().checked_sub(Signer::LENGTH)?);
    (bytes.first() == Some(&FORMAT)).then_some((bytes, signature))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::Seal;

    fn page() -> PageToken {
        PageToken {
            shard: 3,
            after: Some(b"meter".to_vec()),
            filter: "m".to_owned(),
            cluster: "c".to_owned(),
        }
    }

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Other(PageToken);

    impl Token for Other {
        const PURPOSE: &'static [u8] = b"other";
    }

    #[test]
    fn a_token_comes_back_as_it_was_given() {
        let seal = Seal::new(&[7; 32]);
        let text = encode(seal.signer(), &page());
        assert_eq!(read(seal.signer(), &text), Reading::Genuine(page()));
    }

    #[test]
    fn a_page_of_another_cluster_is_refused() {
        let seal = Seal::new(&[7; 32]);
        let text = encode(seal.signer(), &page());
        let restored = "restored".to_owned();
        assert!(PageToken::of_request(seal.signer(), &text, "m", restored).is_err());
    }

    #[test]
    fn a_token_of_another_key_or_kind_is_told() {
        let (seal, other) = (Seal::new(&[7; 32]), Seal::new(&[8; 32]));
        let text = encode(seal.signer(), &page());
        assert_eq!(read(other.signer(), &text), Reading::Unsigned(page()));
        let kind = read(seal.signer(), &text);
        assert_eq!(kind, Reading::Unsigned(Other(page())));
    }

    #[test]
    fn a_damaged_or_made_up_token_is_refused() {
        let seal = Seal::new(&[7; 32]);
        let text = encode(seal.signer(), &page());
        for at in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(damaged).expect("letters");
            let page = PageToken::of_request(seal.signer(), &damaged, "m", "c".to_owned());
            assert_eq!(
                page.map_err(|status| status.code()),
                Err(tonic::Code::InvalidArgument)
            );
        }
        for made_up in ["not a token", "AAAA____", "AQ", &"A".repeat(MAX_TOKEN + 1)] {
            let reading = read::<PageToken>(seal.signer(), made_up);
            assert_eq!(reading, Reading::Unreadable, "{made_up}");
        }
    }

    #[test]
    fn a_page_token_is_good_for_its_list() {
        let seal = Seal::new(&[7; 32]);
        let text = encode(seal.signer(), &page());
        assert!(PageToken::of_request(seal.signer(), &text, "m", "c".to_owned()).is_ok());
        let refused = PageToken::of_request(seal.signer(), &text, "p", "c".to_owned())
            .expect_err("another list");
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    }
}
