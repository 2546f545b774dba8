//! What sources ask for before they give a package out.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use url::Url;

use crate::source::{Repository, host_alias, is_loopback};

/// What a source asks for. Nothing of it is ever printed.
///
/// Made of the data of a Kubernetes Secret by [`from_entries`](Self::from_entries); the default is nothing.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    token: Option<Secret>,
    login: Option<Login>,
    registries: Vec<RegistryLogin>,
    storage: StorageKeys,
}

/// Why the entries of a Secret are no credentials. No message has a value in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// None of the entries is known.
    #[error(
        "it has none of username and password, token, .dockerconfigjson, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
         AWS_SESSION_TOKEN, AWS_REGION and AWS_ENDPOINT_URL"
    )]
    Nothing,
    /// One of two that belong together.
    #[error("{present} is there without {absent}: give both")]
    Incomplete {
        /// The entry that is there.
        present: &'static str,
        /// The entry that is not.
        absent: &'static str,
    },
    /// Bytes that are no text.
    #[error("{key} is no text in UTF-8")]
    NotText {
        /// Which entry.
        key: &'static str,
    },
    /// A token that cannot stand in a header.
    #[error("token has characters that no token has")]
    Token,
    /// A file of another kind.
    #[error(".dockerconfigjson is not what docker login writes (line {line}, column {column})")]
    DockerConfig {
        /// Where it ceases to be, counted from 1.
        line: usize,
        /// Where in that line.
        column: usize,
    },
    /// A log-in in that file that is none.
    #[error(".dockerconfigjson has no usable auth for {registry}: log in again")]
    DockerAuth {
        /// Which registry.
        registry: String,
    },
    /// An endpoint that cannot be used.
    #[error("AWS_ENDPOINT_URL is not like https://HOST: give that, without a user in it")]
    Endpoint,
    /// The keys of this process are for the storage it was configured for.
    #[error(
        "AWS_ENDPOINT_URL is there without keys, and those of this process go to its own storage only: give both"
    )]
    EndpointAlone,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("<secret>")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    username: String,
    password: Secret,
}

/// A log-in for one registry, or for the repositories below a path of it.
#[derive(Clone, Debug)]
struct RegistryLogin {
    /// `HOST` or `HOST/PATH`.
    prefix: String,
    login: Login,
}

/// What S3 asks for. Where it is, as far as that is absent, is in the environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct StorageKeys {
    pub(crate) access_key: Option<AccessKey>,
    pub(crate) without: Identity,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<Url>,
}

/// Who asks a bucket without a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Nobody: what one is not allowed by oneself, this process is not to be asked for.
    #[default]
    Nobody,
    /// This process, by its environment or the machine that it runs on.
    Process,
}

#[derive(Clone, Debug)]
pub(crate) struct AccessKey {
    pub(crate) id: String,
    pub(crate) secret: Secret,
    pub(crate) session_token: Option<Secret>,
}

/// How a request says whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Authorization {
    Basic(Login),
    Bearer(Secret),
}

impl Authorization {
    /// The header; `None` for a token that cannot stand in one.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::Basic(login) => {
                let pair = format!("{}:{}", login.username, login.password.0);
                format!("Basic {}", STANDARD.encode(pair))
            }
            Self::Bearer(token) => format!("Bearer {}", token.0),
        };
        let mut header = HeaderValue::from_str(&text).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

impl Credentials {
    /// From the data of a Secret: `username` and `password`, `token`, `.dockerconfigjson`, and for S3 `AWS_ACCESS_KEY_ID`
    /// and `AWS_SECRET_ACCESS_KEY` (with `AWS_SESSION_TOKEN` where the key is a temporary one), `AWS_REGION` and
    /// `AWS_ENDPOINT_URL`. Empty entries and the line break at the end of a value count for nothing.
    ///
    /// Where S3 is, as far as it is not said, is taken from the environment, as for backups; the keys of this process are not.
    /// An endpoint comes with its keys.
    pub fn from_entries(entries: &BTreeMap<String, Vec<u8>>) -> Result<Self, CredentialsError> {
        let entries = Entries(entries);
        if !KEYS.iter().any(|key| entries.0.contains_key(*key)) {
            return Err(CredentialsError::Nothing);
        }
        Ok(Self {
            token: token(&entries)?,
            login: entries
                .pair("username", "password")?
                .map(|(username, password)| Login::new(username, password)),
            registries: match entries.text(".dockerconfigjson")? {
                Some(text) => registries(text)?,
                None => Vec::new(),
            },
            storage: storage(&entries)?,
        })
    }

    /// Those of this process: for buckets, what other programs find in the environment. Not for what somebody else asks for.
    pub fn of_this_process() -> Self {
        let mut credentials = Self::default();
        credentials.storage.without = Identity::Process;
        credentials
    }

    /// What a web server gets: a token, a log-in, or else the one that stands in the URL.
    ///
    /// It goes over https, and to this host.
    pub(crate) fn for_web(&self, url: &Url) -> Option<Authorization> {
        if url.scheme() != "https" && !is_loopback(url) {
            return None;
        }
        self.anywhere().or_else(|| {
            let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
            let password = url.password().unwrap_or_default();
            let stands_there = !url.username().is_empty() || !password.is_empty();
            let login = || Login::new(&decoded(url.username()), &decoded(password));
            stands_there.then(|| Authorization::Basic(login()))
        })
    }

    /// What a registry gets: what is for the narrowest path that the repository is below, or what is for anybody.
    pub(crate) fn for_registry(&self, repository: &Repository) -> Option<Authorization> {
        let name = repository.to_string();
        let below = |prefix: &str| {
            let rest = name.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.registries
            .iter()
            .filter(|entry| below(&entry.prefix))
            .max_by_key(|entry| entry.prefix.len())
            .map(|entry| Authorization::Basic(entry.login.clone()))
            .or_else(|| self.anywhere())
    }

    pub(crate) fn for_storage(&self) -> &StorageKeys {
        &self.storage
    }

    fn anywhere(&self) -> Option<Authorization> {
        let token = self.token.clone().map(Authorization::Bearer);
        token.or_else(|| self.login.clone().map(Authorization::Basic))
    }
}

impl Login {
    fn new(username: &str, password: &str) -> Self {
        Self {
            username: username.to_owned(),
            password: Secret(password.to_owned()),
        }
    }
}

/// The entries that are looked at.
const KEYS: [&str; 9] = [
    "username",
    "password",
    "token",
    ".dockerconfigjson",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
];

struct Entries<'a>(&'a BTreeMap<String, Vec<u8>>);

impl<'a> Entries<'a> {
    /// A value that says something.
    fn text(&self, key: &'static str) -> Result<Option<&'a str>, CredentialsError> {
        let Some(bytes) = self.0.get(key) else {
            return Ok(None);
        };
        let text = str::from_utf8(bytes).map_err(|_| CredentialsError::NotText { key })?;
        // What `echo` and editors put at the end of a file is not part of what is in it.
        let text = text.trim_end_matches(['\r', '\n']);
        Ok((!text.is_empty()).then_some(text))
    }

    fn pair(
        &self,
        first: &'static str,
        second: &'static str,
    ) -> Result<Option<(&'a str, &'a str)>, CredentialsError> {
        let incomplete = |present, absent| CredentialsError::Incomplete { present, absent };
        match (self.text(first)?, self.text(second)?) {
            (Some(one), Some(other)) => Ok(Some((one, other))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(incomplete(first, second)),
            (None, Some(_)) => Err(incomplete(second, first)),
        }
    }
}

fn token(entries: &Entries<'_>) -> Result<Option<Secret>, CredentialsError> {
    let Some(token) = entries.text("token")? else {
        return Ok(None);
    };
    if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Some(Secret(token.to_owned())))
    } else {
        Err(CredentialsError::Token)
    }
}

fn storage(entries: &Entries<'_>) -> Result<StorageKeys, CredentialsError> {
    let session_token = entries.text("AWS_SESSION_TOKEN")?;
    let pair = entries.pair("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")?;
    if session_token.is_some() && pair.is_none() {
        return Err(CredentialsError::Incomplete {
            present: "AWS_SESSION_TOKEN",
            absent: "AWS_ACCESS_KEY_ID",
        });
    }
    let endpoint = entries
        .text("AWS_ENDPOINT_URL")?
        .map(endpoint)
        .transpose()?;
    if endpoint.is_some() && pair.is_none() {
        return Err(CredentialsError::EndpointAlone);
    }
    Ok(StorageKeys {
        access_key: pair.map(|(id, secret)| AccessKey {
            id: id.to_owned(),
            secret: Secret(secret.to_owned()),
            session_token: session_token.map(|token| Secret(token.to_owned())),
        }),
        without: Identity::Nobody,
        region: entries.text("AWS_REGION")?.map(str::to_owned),
        endpoint,
    })
}

fn endpoint(text: &str) -> Result<Url, CredentialsError> {
    let url = Url::parse(text).map_err(|_| CredentialsError::Endpoint)?;
    let anonymous = url.username().is_empty() && url.password().is_none();
    if matches!(url.scheme(), "http" | "https") && anonymous && url.query().is_none() {
        Ok(url)
    } else {
        Err(CredentialsError::Endpoint)
    }
}

/// What `docker login` writes, and Secrets of the type `kubernetes.io/dockerconfigjson` hold.
#[derive(Deserialize)]
struct DockerConfig {
    /// Absent, if a helper keeps everything.
    #[serde(default)]
    auths: BTreeMap<String, DockerAuth>,
}

#[derive(Deserialize)]
struct DockerAuth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

fn registries(text: &str) -> Result<Vec<RegistryLogin>, CredentialsError> {
    // The parser's own message would repeat values of the file.
    let config: DockerConfig =
        serde_json::from_str(text).map_err(|error| CredentialsError::DockerConfig {
            line: error.line(),
            column: error.column(),
        })?;
    // What a helper keeps is not in the file.
    let auths = config.auths.into_iter();
    let told = auths.filter(|(_, auth)| !auth.is_empty());
    let logins = told.map(|(registry, auth)| {
        let prefix = prefix(&registry);
        let login = auth.login();
        let login = login.ok_or(CredentialsError::DockerAuth { registry })?;
        Ok(RegistryLogin { prefix, login })
    });
    logins.collect()
}

impl DockerAuth {
    const fn is_empty(&self) -> bool {
        self.username.is_none() && self.password.is_none() && self.auth.is_none()
    }

    fn login(&self) -> Option<Login> {
        if let (Some(username), Some(password)) = (&self.username, &self.password) {
            return Some(Login::new(username, password));
        }
        let decoded = STANDARD.decode(self.auth.as_ref()?).ok()?;
        let (username, password) = str::from_utf8(&decoded).ok()?.split_once(':')?;
        Some(Login::new(username, password))
    }
}

/// The keys of that file are hosts, paths below hosts, or the URLs of an old version of the protocol.
fn prefix(registry: &str) -> String {
    let text = registry
        .strip_prefix("https://")
        .or_else(|| registry.strip_prefix("http://"))
        .unwrap_or(registry)
        .trim_end_matches('/');
    let text = text
        .strip_suffix("/v1")
        .or_else(|| text.strip_suffix("/v2"))
        .unwrap_or(text);
    match text.split_once('/') {
        Some((host, path)) => format!("{}/{path}", host_alias(host)),
        None => host_alias(text).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Credentials, CredentialsError> {
        let entries = entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
            .collect();
        Credentials::from_entries(&entries)
    }

    fn header(authorization: Option<Authorization>) -> String {
        let header = authorization.unwrap().header().unwrap();
        header.to_str().unwrap().to_owned()
    }

    fn repository(text: &str) -> Repository {
        text.parse().unwrap()
    }

    #[test]
    fn a_log_in_is_for_any_host() {
        let credentials = read(&[("username", "user"), ("password", "pass\n")]).unwrap();
        let url = Url::parse("https://other:one@host/x").unwrap();
        assert_eq!(header(credentials.for_web(&url)), "Basic dXNlcjpwYXNz");
        let at = repository("registry.example/pump");
        assert_eq!(header(credentials.for_registry(&at)), "Basic dXNlcjpwYXNz");
    }

    #[test]
    fn a_token_goes_before_a_log_in() {
        let entries = [("username", "u"), ("password", "p"), ("token", "t0ken")];
        let credentials = read(&entries).unwrap();
        let url = Url::parse("https://host/x").unwrap();
        assert_eq!(header(credentials.for_web(&url)), "Bearer t0ken");
    }

    #[test]
    fn the_log_in_of_a_url_is_used_where_nothing_else_is_given() {
        let url = Url::parse("https://user:p%40ss@host/x").unwrap();
        let authorization = Credentials::default().for_web(&url);
        assert_eq!(
            authorization,
            Some(Authorization::Basic(Login::new("user", "p@ss")))
        );
        let url = Url::parse("https://host/x").unwrap();
        assert_eq!(Credentials::default().for_web(&url), None);
    }

    #[test]
    fn each_registry_gets_its_own_log_in_and_no_other() {
        let config = r#"{"auths": {
            "https://registry.example/v2/": {"username": "wide", "password": "1"},
            "registry.example/pump": {"auth": "bmFycm93OjI="},
            "https://index.docker.io/v1/": {"auth": "aHViOjM=", "email": "a@b"}
        }}"#;
        let credentials = read(&[(".dockerconfigjson", config)]).unwrap();
        let login = |text| credentials.for_registry(&repository(text));
        let basic = |name, word| Some(Authorization::Basic(Login::new(name, word)));
        assert_eq!(
            login("registry.example/pump/firmware"),
            basic("narrow", "2")
        );
        assert_eq!(login("docker.io/acme/pump"), basic("hub", "3"));
        assert_eq!(login("registry.example.org/pump"), None);
        assert_eq!(login("registry.example:5000/pump"), None);
        assert_eq!(login("registry.example/pumps"), basic("wide", "1"));
    }

    #[test]
    fn the_log_in_of_one_registry_is_not_for_web_servers() {
        let config = r#"{"auths": {"host": {"username": "u", "password": "p"}}}"#;
        let credentials = read(&[(".dockerconfigjson", config)]).unwrap();
        let url = Url::parse("https://host/x").unwrap();
        assert_eq!(credentials.for_web(&url), None);
    }

    #[test]
    fn what_is_no_credentials_is_said_without_its_values() {
        use CredentialsError::{Endpoint, EndpointAlone, Incomplete, Nothing, Token};
        let incomplete = |present, absent| Incomplete { present, absent };
        let keys = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ];
        let with_endpoint = |url| [keys[0], keys[1], ("AWS_ENDPOINT_URL", url)];
        for (entries, error) in [
            (&[("ca.crt", "x")][..], Nothing),
            (&[("username", "u")], incomplete("username", "password")),
            (
                &[("password", "hunter2")],
                incomplete("password", "username"),
            ),
            (
                &[("username", "u"), ("password", "\n")],
                incomplete("username", "password"),
            ),
            (&[("token", "hunter2 \r\n x")], Token),
            (
                &keys[..1],
                incomplete("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
            ),
            (
                &[("AWS_SESSION_TOKEN", "hunter2")],
                incomplete("AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"),
            ),
            (
                &[("AWS_ENDPOINT_URL", "https://minio.example")],
                EndpointAlone,
            ),
            (&with_endpoint("https://a:hunter2@minio.example"), Endpoint),
            (&with_endpoint("minio.example"), Endpoint),
        ] {
            let found = read(entries).unwrap_err();
            assert_eq!(found, error);
            assert!(!format!("{found} {found:?}").contains("hunter2"));
        }
    }

    #[test]
    fn nothing_secret_goes_in_the_clear_to_another_host() {
        let credentials = read(&[("token", "hunter2")]).unwrap();
        let given = |url: &str| credentials.for_web(&url.parse().unwrap()).is_some();
        assert!(given("https://firmware.example.com/a"));
        assert!(given("http://127.0.0.1:8080/a") && given("http://[::1]/a"));
        assert!(!given("http://firmware.example.com/a"));
    }

    #[test]
    fn what_a_helper_of_docker_keeps_is_not_there() {
        for config in [
            r#"{"credsStore": "desktop"}"#,
            r#"{"auths": {"host": {}}, "credsStore": "desktop"}"#,
        ] {
            let credentials = read(&[(".dockerconfigjson", config)]).unwrap();
            assert_eq!(credentials.for_registry(&repository("host/name")), None);
        }
    }

    #[test]
    fn a_docker_config_that_is_none_is_said_without_its_values() {
        for config in [
            "hunter2",
            r#"{"auths": "hunter2"}"#,
            r#"{"auths": {"host": {"auth": 7}}}"#,
            r#"{"auths": {"host": {"auth": "hunter2!"}}}"#,
            r#"{"auths": {"host": {"username": "hunter2"}}}"#,
        ] {
            let error = read(&[(".dockerconfigjson", config)]).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let credentials = read(&[
            ("username", "u"),
            ("password", "hunter2"),
            ("token", "hunter2"),
            (
                ".dockerconfigjson",
                r#"{"auths": {"h": {"auth": "dTpodW50ZXIy"}}}"#,
            ),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AWS_SESSION_TOKEN", "hunter2"),
        ]);
        let shown = format!("{:?}", credentials.unwrap());
        assert!(
            !shown.contains("hunter2") && !shown.contains("dTpodW50ZXIy"),
            "{shown}"
        );
    }

    #[test]
    fn storage_keys_are_read() {
        let credentials = read(&[
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ENDPOINT_URL", "http://minio.storage:9000"),
        ]);
        let credentials = credentials.unwrap();
        let storage = credentials.for_storage();
        let key = storage.access_key.as_ref().unwrap();
        assert_eq!((key.id.as_str(), key.secret.0.as_str()), ("id", "secret"));
        assert_eq!(storage.region.as_deref(), Some("eu-central-1"));
        let endpoint = storage.endpoint.as_ref().unwrap();
        assert_eq!(endpoint.as_str(), "http://minio.storage:9000/");
    }
}
