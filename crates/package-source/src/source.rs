//! Where a package lies.

use std::fmt;
use std::str::FromStr;

use device_state::Digest;
use url::{Host, Url};

/// Where a package lies. As text: `https://…`, `http://…`, `oci://HOST/REPOSITORY@sha256:…` or `s3://BUCKET/KEY`.
///
/// Printed, it has neither the password nor the query of a URL: queries of presigned URLs are secrets, too.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// A web server, by https or http.
    Web(Url),
    /// An artefact of an OCI registry.
    Registry {
        /// Where in which registry.
        repository: Repository,
        /// The digest of its manifest.
        manifest: Digest,
    },
    /// An object in S3, or what speaks like it.
    Bucket {
        /// The name of the bucket.
        bucket: String,
        /// The name of the object.
        key: String,
    },
}

/// Why a text says no source. The text is not repeated: it may have a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It begins with nothing known.
    #[error(
        "packages lie at https://…, http://…, oci://HOST/REPOSITORY@sha256:… or s3://BUCKET/KEY, and this is none of them"
    )]
    Scheme,
    /// A URL that is none.
    #[error("this is no URL of a package: give https://HOST/PATH or http://HOST/PATH")]
    Url,
    /// An artefact that is not named, or not by its digest.
    #[error(
        "this is no artefact of a registry: give oci://HOST/REPOSITORY@sha256: and the 64 hex digits of its manifest; \
         what a tag alone means may change"
    )]
    Artefact,
    /// A repository that is none.
    #[error("this is no repository: give HOST/REPOSITORY, in lower case and without a tag")]
    Repository,
    /// A bucket or a key that is not named.
    #[error("this is no object in a bucket: give s3://BUCKET/KEY")]
    Object,
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let (scheme, rest) = text.split_once("://").ok_or(SourceError::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => web(text),
            "oci" => artefact(rest),
            "s3" => object(rest),
            _ => Err(SourceError::Scheme),
        }
    }
}

fn web(text: &str) -> Result<Source, SourceError> {
    let mut url = Url::parse(text).map_err(|_| SourceError::Url)?;
    url.set_fragment(None);
    Ok(Source::Web(url))
}

fn artefact(text: &str) -> Result<Source, SourceError> {
    let (repository, manifest) = text.rsplit_once('@').ok_or(SourceError::Artefact)?;
    Ok(Source::Registry {
        repository: repository.parse().map_err(|_| SourceError::Artefact)?,
        manifest: manifest.parse().map_err(|_| SourceError::Artefact)?,
    })
}

fn object(text: &str) -> Result<Source, SourceError> {
    let (bucket, key) = text.split_once('/').ok_or(SourceError::Object)?;
    let of_bucket =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    if bucket.is_empty() || !bucket.chars().all(of_bucket) || key.is_empty() {
        return Err(SourceError::Object);
    }
    Ok(Source::Bucket {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
    })
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web(url) => formatter.write_str(&shown(url)),
            Self::Registry {
                repository,
                manifest,
            } => write!(formatter, "oci://{repository}@{manifest}"),
            Self::Bucket { bucket, key } => write!(formatter, "s3://{bucket}/{key}"),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A URL without what may be secret in it.
pub(crate) fn shown(url: &Url) -> String {
    let query = if url.query().is_some() { "?…" } else { "" };
    format!(
        "{}{}{query}",
        url.origin().ascii_serialization(),
        url.path()
    )
}

/// Docker Hub's name in references, which is not that of its registry.
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_REGISTRY: &str = "registry-1.docker.io";

/// A repository of an OCI registry, with the registry's host: `HOST[:PORT]/REPOSITORY`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository {
    host: String,
    name: String,
}

impl Repository {
    /// Where the registry answers. Only one on this host may do without TLS.
    pub(crate) fn registry(&self) -> Result<Url, SourceError> {
        let host = if self.host == DOCKER_HUB {
            DOCKER_HUB_REGISTRY
        } else {
            &self.host
        };
        let secure = format!("https://{host}/");
        let mut url = Url::parse(&secure).map_err(|_| SourceError::Repository)?;
        if is_loopback(&url) {
            url = Url::parse(&format!("http://{host}/")).map_err(|_| SourceError::Repository)?;
        }
        Ok(url)
    }

    /// What the registry calls it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for Repository {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let (host, name) = text.split_once('/').ok_or(SourceError::Repository)?;
        let known = host_alias(host);
        let name = match name {
            official if known == DOCKER_HUB && !official.contains('/') => {
                format!("library/{official}")
            }
            name => name.to_owned(),
        };
        let repository = Self {
            host: known.to_owned(),
            name,
        };
        let url = repository.registry()?;
        let plain = url.username().is_empty() && url.password().is_none() && url.path() == "/";
        let only_host = plain && url.query().is_none() && url.fragment().is_none();
        if only_host && repository.name.split('/').all(is_component) {
            Ok(repository)
        } else {
            Err(SourceError::Repository)
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.host, self.name)
    }
}

/// The one name of a registry that has several.
pub(crate) fn host_alias(host: &str) -> &str {
    match host {
        "index.docker.io" | DOCKER_HUB_REGISTRY => DOCKER_HUB,
        host => host,
    }
}

/// OCI Distribution 1.1, "Pulling manifests": `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`. Here any run of separators passes
/// inside of a component; none leads out of the path.
fn is_component(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().copied().is_some_and(word)
        && bytes.last().copied().is_some_and(word)
        && bytes
            .iter()
            .all(|byte| word(*byte) || matches!(byte, b'.' | b'_' | b'-'))
}

/// Whether a URL is of this very host.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    const DIGEST: &str = "sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f";

    fn parse(text: &str) -> Result<Source, SourceError> {
        text.parse()
    }

    #[test]
    fn each_kind_of_source_is_read_and_printed() {
        let artefact = format!("oci://registry.example:5000/pump/firmware@{DIGEST}");
        for text in [
            "https://firmware.example/pump-1.2.bin",
            "http://10.0.0.1:8080/pump.bin",
            &artefact,
            "s3://firmware/pump/1.2 final.bin",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_source_is_told_what_is_one() {
        use SourceError::{Artefact, Object, Scheme, Url};
        let up = format!("oci://registry.example/../firmware@{DIGEST}");
        let user = format!("oci://user:pw@registry.example/firmware@{DIGEST}");
        let tagged = format!("oci://registry.example/firmware:1@{DIGEST}");
        for (text, error) in [
            ("", Scheme),
            ("/srv/firmware.bin", Scheme),
            ("ftp://host/x", Scheme),
            ("https://", Url),
            ("https://host:port/x", Url),
            ("oci://registry.example/firmware:1.2", Artefact),
            ("oci://registry.example/firmware@sha256:1234", Artefact),
            (&format!("oci://registry.example@{DIGEST}"), Artefact),
            (&format!("oci://registry.example/Pump@{DIGEST}"), Artefact),
            (&up, Artefact),
            (&user, Artefact),
            (&tagged, Artefact),
            ("s3://bucket", Object),
            ("s3://bucket/", Object),
            ("s3:///key", Object),
            ("s3://us er/key", Object),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        assert!(Scheme.to_string().contains("oci://HOST/REPOSITORY@sha256:"));
    }

    #[test]
    fn neither_passwords_nor_queries_are_printed() {
        let source = parse("https://user:hunter2@host/x?X-Amz-Signature=abc#part").unwrap();
        assert_eq!(source.to_string(), "https://host/x?…");
        assert_eq!(format!("{source:?}"), "https://host/x?…");
    }

    #[test]
    fn registries_speak_tls_except_on_this_host() {
        let registry = |text: &str| {
            let repository: Repository = text.parse().unwrap();
            repository.registry().unwrap().to_string()
        };
        assert_eq!(registry("registry.example/a"), "https://registry.example/");
        assert_eq!(registry("localhost:5000/a"), "http://localhost:5000/");
        assert_eq!(registry("127.0.0.1:5000/a"), "http://127.0.0.1:5000/");
        assert_eq!(registry("[::1]:5000/a"), "http://[::1]:5000/");
        assert_eq!(
            registry("localhost.example/a"),
            "https://localhost.example/"
        );
    }

    #[test]
    fn docker_hub_has_one_name_here() {
        for host in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
            let repository: Repository = format!("{host}/pump").parse().unwrap();
            assert_eq!(repository.to_string(), "docker.io/library/pump");
            let registry = repository.registry().unwrap();
            assert_eq!(registry.as_str(), "https://registry-1.docker.io/");
        }
    }
}
