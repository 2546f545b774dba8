//! Asking web servers. Everything that knows `reqwest` is here.
//!
//! Redirects are followed here and not by the library: none from https to http, five at most, and whoever is redirected
//! to is told nothing that was for somebody else.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderName, LOCATION};
use http::{HeaderValue, StatusCode};
use tokio::time::timeout;
use url::Url;

use crate::arrival::{Arrival, Expected};
use crate::credentials::Authorization;
use crate::error::{FetchError, RedirectFault};
use crate::limits::Limits;
use crate::progress::Progress;
use crate::source::shown;

/// How this client names itself.
pub(crate) const USER_AGENT: &str = concat!("drover/", env!("CARGO_PKG_VERSION"));

/// More redirects after one another lead nowhere.
const REDIRECTS: usize = 5;

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a client for https")]
pub(crate) struct ClientError(#[source] reqwest::Error);

#[derive(Clone)]
pub(crate) struct Web {
    client: reqwest::Client,
    silence: Duration,
    progress: Progress,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) url: &'a Url,
    pub(crate) authorization: Option<&'a Authorization>,
    /// Which kinds of documents are understood.
    pub(crate) accept: Option<&'static str>,
}

impl Web {
    pub(crate) fn new(limits: Limits) -> Result<Self, ClientError> {
        // Packages are compared byte by byte with what was declared, so nothing is unpacked on the way.
        let client = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(limits.connect)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .build()
            .map_err(ClientError)?;
        Ok(Self {
            client,
            silence: limits.silence,
            progress: Progress::default(),
        })
    }

    /// What arrives is counted there.
    pub(crate) fn counting(self, progress: Progress) -> Self {
        Self { progress, ..self }
    }

    pub(crate) const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The answer, after all redirects.
    pub(crate) async fn get(&self, request: Request<'_>) -> Result<Answer, FetchError> {
        let mut url = without_user(request.url);
        for _ in 0..=REDIRECTS {
            let authorization = request
                .authorization
                .filter(|_| url.origin() == request.url.origin());
            let answer = self.send(&url, authorization, request.accept).await?;
            let Some(location) = answer.location() else {
                return Ok(answer);
            };
            url = redirected(&url, location).map_err(|fault| FetchError::Redirect {
                place: shown(&url),
                fault,
            })?;
        }
        Err(FetchError::Redirect {
            place: shown(request.url),
            fault: RedirectFault::TooMany { limit: REDIRECTS },
        })
    }

    async fn send(
        &self,
        url: &Url,
        authorization: Option<&Authorization>,
        accept: Option<&'static str>,
    ) -> Result<Answer, FetchError> {
        let mut request = self.client.get(url.clone());
        if let Some(header) = authorization.and_then(Authorization::header) {
            request = request.header(AUTHORIZATION, header);
        }
        if let Some(accept) = accept {
            request = request.header(ACCEPT, HeaderValue::from_static(accept));
        }
        let place = shown(url);
        match timeout(self.silence, request.send()).await {
            Ok(Ok(response)) => Ok(Answer {
                response,
                place,
                silence: self.silence,
                progress: self.progress.clone(),
            }),
            Ok(Err(error)) => Err(failed(place, error)),
            Err(_) => Err(FetchError::Silent {
                place,
                limit: self.silence,
            }),
        }
    }
}

fn without_user(url: &Url) -> Url {
    let mut url = url.clone();
    // These fail for URLs without a host only, which have no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// Where a server says to go instead.
fn redirected(from: &Url, location: &str) -> Result<Url, RedirectFault> {
    let to = from.join(location).map_err(|_| RedirectFault::NotAUrl)?;
    match (from.scheme(), to.scheme()) {
        ("https", "http") => Err(RedirectFault::Insecure),
        (_, "https" | "http") => Ok(without_user(&to)),
        _ => Err(RedirectFault::Scheme),
    }
}

/// The library's message would show all of the URL.
fn failed(place: String, error: reqwest::Error) -> FetchError {
    let error = error.without_url();
    let before = error.is_connect() || error.is_timeout();
    let source = Box::new(error);
    if before {
        FetchError::Unreachable { place, source }
    } else {
        FetchError::Interrupted { place, source }
    }
}

/// What a server answers. The body is still on its way.
pub(crate) struct Answer {
    response: reqwest::Response,
    place: String,
    silence: Duration,
    progress: Progress,
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Who answered, in the end.
    pub(crate) fn url(&self) -> &Url {
        self.response.url()
    }

    /// All headers of a name that are text.
    pub(crate) fn headers(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        let all = self.response.headers().get_all(name).into_iter();
        all.filter_map(|value| value.to_str().ok())
    }

    fn location(&self) -> Option<&str> {
        let follow = matches!(self.status().as_u16(), 301 | 302 | 303 | 307 | 308);
        self.headers(LOCATION).next().filter(|_| follow)
    }

    /// The body, if it is what was asked for.
    pub(crate) async fn read(mut self, expected: &Expected) -> Result<Bytes, FetchError> {
        let place = std::mem::take(&mut self.place);
        if self.status() != StatusCode::OK {
            return Err(FetchError::of_status(place, self.status()));
        }
        if let Some(size) = self.response.content_length() {
            expected.check_claimed(&place, size)?;
        }
        let mut arrival = Arrival::new(expected, &place);
        while let Some(chunk) = self.chunk(&place).await? {
            arrival.push(&chunk)?;
            self.progress.add(chunk.len());
        }
        arrival.finish()
    }

    async fn chunk(&mut self, place: &str) -> Result<Option<Bytes>, FetchError> {
        match timeout(self.silence, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(FetchError::Interrupted {
                place: place.to_owned(),
                source: Box::new(error.without_url()),
            }),
            Err(_) => Err(FetchError::Silent {
                place: place.to_owned(),
                limit: self.silence,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn redirects_lead_to_the_web_and_never_away_from_tls() {
        let secure = Url::parse("https://host/a/b").unwrap();
        let plain = Url::parse("http://host/a/b").unwrap();
        let to = |from: &Url, location| redirected(from, location).map(String::from);
        assert_eq!(to(&secure, "../c?d=e").unwrap(), "https://host/c?d=e");
        assert_eq!(to(&secure, "//other/c").unwrap(), "https://other/c");
        assert_eq!(to(&plain, "https://host/c").unwrap(), "https://host/c");
        assert_eq!(to(&plain, "http://u:p@other/c").unwrap(), "http://other/c");
        assert_eq!(to(&secure, "http://host/a/b"), Err(RedirectFault::Insecure));
        assert_eq!(to(&plain, "file:///etc/passwd"), Err(RedirectFault::Scheme));
        assert_eq!(to(&plain, "http://:x"), Err(RedirectFault::NotAUrl));
    }
}
