//! Leshan's bootstrap configuration and what a profile can say of it.

use std::collections::{BTreeMap, BTreeSet};

use proto::drover::v1::BootstrapAccount;
use proto::drover::v1::bootstrap_account::Security;
use serde::Deserialize;
use serde_json::{Map, Value as JsonValue, json};

/// What every bootstrap of the cluster deletes first.
const DELETED: [&str; 2] = ["/0", "/1"];

/// The configuration of one endpoint. What is not listed is kept in `further`, so that it is told of.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    #[serde(default)]
    servers: BTreeMap<String, Server>,
    #[serde(default)]
    security: BTreeMap<String, SecurityEntry>,
    #[serde(default)]
    to_delete: Vec<String>,
    #[serde(flatten)]
    further: BTreeMap<String, JsonValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Server {
    short_id: u32,
    #[serde(default)]
    lifetime: Option<u32>,
    /// `"U"`, or `["U"]` of later releases.
    #[serde(default)]
    binding: Option<JsonValue>,
    #[serde(flatten)]
    further: BTreeMap<String, JsonValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecurityEntry {
    uri: String,
    #[serde(default)]
    bootstrap_server: bool,
    security_mode: String,
    server_id: u32,
    #[serde(flatten)]
    further: BTreeMap<String, JsonValue>,
}

impl Config {
    /// The accounts, and what of the configuration is not in them.
    pub(super) fn translated(self) -> Result<(Vec<BootstrapAccount>, Vec<String>), String> {
        let deleted: BTreeSet<&str> = self.to_delete.iter().map(String::as_str).collect();
        if deleted != BTreeSet::from(DELETED) {
            return Err(
                "toDelete: a bootstrap of the cluster deletes /0 and /1, no more and no less"
                    .to_owned(),
            );
        }
        for (name, value) in &self.further {
            if is_something(value) {
                return Err(format!("{name}: a bootstrap profile cannot say it"));
            }
        }
        self.accounts()
    }

    fn accounts(&self) -> Result<(Vec<BootstrapAccount>, Vec<String>), String> {
        let mut kept = self.security.iter();
        if let Some((id, _)) = kept.find(|(_, entry)| entry.bootstrap_server) {
            return Err(format!(
                "security.{id}: a device keeps its account at the bootstrap server; leave it out"
            ));
        }
        let mut ignored = Vec::new();
        let mut accounts = Vec::new();
        for (id, server) in &self.servers {
            let mut entries = self.security.iter();
            let entry = entries.find(|(_, entry)| entry.server_id == server.short_id);
            let (security_id, entry) = entry.ok_or_else(|| {
                let short_id = server.short_id;
                format!("servers.{id}: no entry of security has the serverId {short_id}")
            })?;
            let account = account(server, entry);
            accounts.push(account.map_err(|why| format!("security.{security_id}: {why}"))?);
            ignored.extend(unused("servers", id, &server.further));
            ignored.extend(unused("security", security_id, &entry.further));
        }
        if self.security.len() != accounts.len() {
            return Err(
                "every entry of security needs one of servers, with its serverId as shortId"
                    .to_owned(),
            );
        }
        Ok((accounts, ignored))
    }
}

/// The names of fields that say something, such as `servers.0.defaultMinPeriod`.
fn unused<'a>(
    part: &'a str,
    id: &'a str,
    further: &'a BTreeMap<String, JsonValue>,
) -> impl Iterator<Item = String> + 'a {
    let something = further.iter().filter(|(_, value)| is_something(value));
    something.map(move |(name, _)| format!("{part}.{id}.{name}"))
}

fn account(server: &Server, entry: &SecurityEntry) -> Result<BootstrapAccount, String> {
    let security = match entry.security_mode.to_ascii_uppercase().as_str() {
        "PSK" => Security::Psk,
        "NO_SEC" => Security::NoSec,
        mode => {
            return Err(format!(
                "securityMode {mode}: a bootstrap profile has PSK and NO_SEC only"
            ));
        }
    };
    let mut account = BootstrapAccount {
        uri: entry.uri.clone(),
        short_server_id: server.short_id,
        security: security.into(),
        ..BootstrapAccount::default()
    };
    account.lifetime = server.lifetime.map(|seconds| prost_types::Duration {
        seconds: seconds.into(),
        nanos: 0,
    });
    account.binding = binding(server.binding.as_ref())?;
    Ok(account)
}

fn binding(given: Option<&JsonValue>) -> Result<String, String> {
    match given {
        None | Some(JsonValue::Null) => Ok(String::new()),
        Some(JsonValue::String(letters)) => Ok(letters.clone()),
        Some(JsonValue::Array(letters)) => {
            Ok(letters.iter().filter_map(JsonValue::as_str).collect())
        }
        Some(_) => Err("binding is a text such as \"U\"".to_owned()),
    }
}

/// Suites send every field, most of them empty.
fn is_something(value: &JsonValue) -> bool {
    match value {
        JsonValue::Null => false,
        JsonValue::Bool(truth) => *truth,
        JsonValue::String(text) => !text.is_empty() && text != "NO_SEC",
        JsonValue::Array(items) => !items.is_empty(),
        JsonValue::Object(fields) => !fields.is_empty(),
        JsonValue::Number(_) => true,
    }
}

/// Accounts as a configuration.
pub(super) fn shown(accounts: &[BootstrapAccount]) -> JsonValue {
    let mut servers = Map::new();
    let mut security = Map::new();
    for (id, account) in accounts.iter().enumerate() {
        let mode = match account.security() {
            Security::Psk => "PSK",
            Security::RawPublicKey => "RPK",
            Security::Certificate => "X509",
            // Leshan has OSCORE beside the mode.
            Security::NoSec | Security::Oscore | Security::Unspecified => "NO_SEC",
        };
        let lifetime = account.lifetime.as_ref().map(|lifetime| lifetime.seconds);
        servers.insert(
            id.to_string(),
            json!({"shortId": account.short_server_id, "lifetime": lifetime, "binding": account.binding}),
        );
        security.insert(
            id.to_string(),
            json!({
                "bootstrapServer": false, "serverId": account.short_server_id, "securityMode": mode,
                "uri": account.uri,
            }),
        );
    }
    json!({"servers": servers, "security": security, "toDelete": DELETED})
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    /// As `create_bs_device` of the suite sends it.
    const SUITE: &str = r#"{"servers":{"0":{"binding":"U","defaultMinPeriod":1,"lifetime":86400,"notifIfDisabled":false,"shortId":1}},"security":{"1":{"bootstrapServer":false,"clientOldOffTime":1,"publicKeyOrId":[97],"secretKey":[98],"securityMode":"PSK","serverId":1,"serverSmsNumber":"","smsBindingKeyParam":[],"smsBindingKeySecret":[],"smsSecurityMode":"NO_SEC","uri":"coaps://192.0.2.2:5684"}},"oscore":{},"toDelete":["/0","/1"]}"#;

    fn suite() -> JsonValue {
        serde_json::from_str(SUITE).unwrap()
    }

    fn translated(config: JsonValue) -> Result<(Vec<BootstrapAccount>, Vec<String>), String> {
        serde_json::from_value::<Config>(config)
            .unwrap()
            .translated()
    }

    #[test]
    fn the_suites_configuration_is_an_account() {
        let (accounts, ignored) = translated(suite()).unwrap();
        let [account] = accounts.as_slice() else {
            panic!("{accounts:?}");
        };
        assert_eq!(account.uri, "coaps://192.0.2.2:5684");
        assert_eq!(
            (account.short_server_id, account.security()),
            (1, Security::Psk)
        );
        let lifetime = account.lifetime.as_ref().map(|lifetime| lifetime.seconds);
        assert_eq!((lifetime, account.binding.as_str()), (Some(86_400), "U"));
        assert_eq!(
            ignored,
            [
                "servers.0.defaultMinPeriod",
                "security.1.clientOldOffTime",
                "security.1.publicKeyOrId",
                "security.1.secretKey",
            ]
        );
        assert_eq!(
            shown(&accounts)["security"]["0"]["uri"],
            "coaps://192.0.2.2:5684"
        );
    }

    #[test]
    fn what_a_profile_cannot_say_is_refused() {
        let refused = |change: fn(&mut JsonValue)| {
            let mut config = suite();
            change(&mut config);
            translated(config).unwrap_err()
        };
        let why = refused(|config| config["security"]["1"]["securityMode"] = "X509".into());
        assert!(why.starts_with("security.1: securityMode X509"), "{why}");
        let why = refused(|config| config["oscore"] = json!({"0": {"objectInstanceId": 0}}));
        assert!(why.starts_with("oscore"), "{why}");
        let why = refused(|config| config["acls"] = json!({"0": {"objectId": 3}}));
        assert!(why.starts_with("acls"), "{why}");
        let why = refused(|config| config["toDelete"] = json!(["/"]));
        assert!(why.starts_with("toDelete"), "{why}");
        let why = refused(|config| config["toDelete"] = json!(["/0"]));
        assert!(why.starts_with("toDelete"), "{why}");
        let why = refused(|config| config["security"]["1"]["serverId"] = 2.into());
        assert!(why.starts_with("servers.0"), "{why}");
        let why = refused(|config| config["security"]["1"]["bootstrapServer"] = true.into());
        assert!(why.contains("bootstrap server"), "{why}");
    }
}
