//! Which options are encrypted and which travel in the clear (RFC 8613 §4.1).

use coap::{Options, number};

use crate::error::{ProtectError, UnprotectError};
use crate::option::OSCORE;

/// RFC 9175, Class E and U; the one that matters here is inside.
pub(crate) const ECHO: u16 = 252;

/// RFC 8768, Class U.
const HOP_LIMIT: u16 = 16;

/// RFC 8613 figure 5 and the registrations since: Class U only. What is not here is encrypted,
/// which is also the rule for options that nobody knows.
fn is_outer_only(option: u16) -> bool {
    matches!(
        option,
        number::URI_HOST | number::URI_PORT | number::PROXY_SCHEME | HOP_LIMIT
    )
}

/// The two sets of options of a message to protect.
pub(crate) struct Split {
    pub(crate) inner: Options,
    pub(crate) outer: Options,
}

pub(crate) fn split(options: &Options) -> Result<Split, ProtectError> {
    let mut split = Split {
        inner: Options::default(),
        outer: Options::default(),
    };
    for (option, value) in options.iter() {
        match option {
            OSCORE => return Err(ProtectError::AlreadyProtected),
            number::PROXY_URI => return Err(ProtectError::ProxyUri),
            option if is_outer_only(option) => split.outer.push(option, value),
            // Class E and U; the value inside is set by the caller.
            number::OBSERVE => {
                split.inner.push(option, value);
                split.outer.push(option, value);
            }
            _ => split.inner.push(option, value),
        }
    }
    Ok(split)
}

/// The options of an unprotected message, without Observe, which the caller decides on.
///
/// RFC 8613 §8.2 and §8.4: what is Class E counts only if it was encrypted, what is Class U comes
/// from outside.
pub(crate) fn join(inner: &Options, outer: &Options) -> Result<Options, UnprotectError> {
    let mut joined = Options::default();
    for (option, value) in outer.iter() {
        let overridden = || inner.first(option).is_some();
        if option == number::PROXY_URI || (is_outer_only(option) && !overridden()) {
            joined.push(option, value);
        }
    }
    for (option, value) in inner.iter() {
        match option {
            // Nothing is protected twice, and a proxy could not have read these.
            OSCORE | number::PROXY_URI | number::PROXY_SCHEME => {
                return Err(UnprotectError::MalformedPlaintext);
            }
            number::OBSERVE => {}
            _ => joined.push(option, value),
        }
    }
    Ok(joined)
}

/// The same options with others in the place of the given one.
pub(crate) fn without(options: &Options, number: u16) -> Options {
    let mut rest = Options::default();
    for (other, value) in options.iter().filter(|(other, _)| *other != number) {
        rest.push(other, value);
    }
    rest
}
