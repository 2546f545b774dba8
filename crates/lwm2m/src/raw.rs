//! Requests that are sent as somebody wrote them.

use std::fmt;

use thiserror::Error;

use crate::format::ContentFormat;

/// The method of a raw request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Read, Discover.
    Get,
    /// Write (partial update), Execute, Create.
    Post,
    /// Write (replace), Write-Attributes.
    Put,
    /// Delete.
    Delete,
    /// Read-Composite.
    Fetch,
    /// Write-Composite.
    IPatch,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 6] = [
        Self::Get,
        Self::Post,
        Self::Put,
        Self::Delete,
        Self::Fetch,
        Self::IPatch,
    ];

    /// The name as RFC 7252 and RFC 8132 write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Fetch => "FETCH",
            Self::IPatch => "iPATCH",
        }
    }

    /// Whether the request changes nothing (RFC 7252 §5.1, RFC 8132 §2).
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Fetch)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request to a device that nothing is checked of but its size: for what a device is not known
/// to do, and to see what it answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RawRequest {
    /// What to do.
    pub method: Method,
    /// Uri-Path segments, without an alternate path.
    pub path: Vec<String>,
    /// Uri-Query parameters.
    pub query: Vec<String>,
    /// The format of the payload.
    pub content_format: Option<ContentFormat>,
    /// The format to ask for.
    pub accept: Option<ContentFormat>,
    /// The body, at most [`RawRequest::MAX_PAYLOAD`] bytes.
    pub payload: Vec<u8>,
}

/// Why a raw request cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RawError {
    /// The target does not begin with `/`.
    #[error("target does not begin with a slash")]
    NotAbsolute,
    /// There are more than [`RawRequest::MAX_OPTIONS`] segments or parameters.
    #[error("more than 16 path segments or query parameters")]
    TooMany,
    /// A segment or parameter has more than 255 bytes.
    // RFC 7252 §5.10: Uri-Path and Uri-Query have 0 to 255 bytes.
    #[error("a path segment or query parameter has more than 255 bytes")]
    OptionTooLong,
    /// The payload has more than [`RawRequest::MAX_PAYLOAD`] bytes.
    #[error("payload has more than 65536 bytes")]
    PayloadTooLong,
}

impl RawRequest {
    /// The longest payload in bytes.
    pub const MAX_PAYLOAD: usize = 65_536;
    /// The most path segments, and the most query parameters.
    pub const MAX_OPTIONS: usize = 16;
    const MAX_OPTION_BYTES: usize = 255;

    /// A request for a target such as `/3/0?pmin=10&pmax=60`. A slash at the end is an empty segment.
    pub fn new(method: Method, target: &str) -> Result<Self, RawError> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let path = path.strip_prefix('/').ok_or(RawError::NotAbsolute)?;
        let parts = |text: &str, separator| text.split(separator).map(str::to_owned).collect();
        let request = Self {
            method,
            path: if path.is_empty() {
                Vec::new()
            } else {
                parts(path, '/')
            },
            query: query.map_or_else(Vec::new, |query| parts(query, '&')),
            content_format: None,
            accept: None,
            payload: Vec::new(),
        };
        request.validate()?;
        Ok(request)
    }

    /// Whether the request fits into a message.
    pub fn validate(&self) -> Result<(), RawError> {
        if self.path.len() > Self::MAX_OPTIONS || self.query.len() > Self::MAX_OPTIONS {
            return Err(RawError::TooMany);
        }
        let mut options = self.path.iter().chain(&self.query);
        if options.any(|option| option.len() > Self::MAX_OPTION_BYTES) {
            return Err(RawError::OptionTooLong);
        }
        if self.payload.len() > Self::MAX_PAYLOAD {
            return Err(RawError::PayloadTooLong);
        }
        Ok(())
    }

    /// The target, as [`RawRequest::new`] takes it.
    pub fn target(&self) -> String {
        let path = self.path.join("/");
        if self.query.is_empty() {
            format!("/{path}")
        } else {
            format!("/{path}?{}", self.query.join("&"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_as_it_is_written() {
        for target in ["/", "/3/0", "/3/0/", "/lwm2m/3?pmin=1&pmax", "/a?"] {
            let request = RawRequest::new(Method::Get, target);
            assert_eq!(
                request.map(|request| request.target()).as_deref(),
                Ok(target)
            );
        }
        assert_eq!(
            RawRequest::new(Method::Get, "3/0"),
            Err(RawError::NotAbsolute)
        );
        let deep = "/1".repeat(17);
        assert_eq!(RawRequest::new(Method::Get, &deep), Err(RawError::TooMany));
        let long = format!("/{}", "1".repeat(256));
        assert_eq!(
            RawRequest::new(Method::Get, &long),
            Err(RawError::OptionTooLong)
        );
    }
}
