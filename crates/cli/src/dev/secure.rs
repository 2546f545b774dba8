//! `--secure`: an authority, certificates and a policy for a cluster on this machine, in the folder `access` of its
//! directory. They are made once and stay.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use node_runtime::tls::{INGRESS_NAME, STATE_NAME};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType,
};

use crate::dev::home::{Home, create_private};
use crate::proof::Files;
use crate::token;

const FOLDER: &str = "access";
/// Where nodes of this machine are reached.
const HOSTS: [&str; 2] = ["localhost", "127.0.0.1"];
/// The group of the certificate that the command line shows.
const ADMINS: &str = "drover:admins";

const POLICY: &str = "\
# Who may do what; read again when it changes. docs/access.md tells the rest.
rules:
- groups: [\"drover:admins\"]     # the certificate admin.pem
  role: admin
- groups: [\"operators\"]         # drover token NAME --group operators
  role: operator
- groups: [\"viewers\"]           # drover token NAME --group viewers
  role: viewer
";

/// The files of a directory.
pub(super) struct Secured {
    folder: PathBuf,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

impl Secured {
    /// Those of the directory; they are made when there are none.
    pub(super) fn of(home: &Home) -> anyhow::Result<Self> {
        let secured = Self {
            folder: home.path().join(FOLDER),
        };
        // It is written last: where it is, everything is.
        if !secured.state_config().exists() {
            secured
                .make()
                .context("cannot make certificates for the cluster")?;
        }
        Ok(secured)
    }

    /// What state nodes are told.
    pub(super) fn state_config(&self) -> PathBuf {
        self.folder.join("state.toml")
    }

    /// What ingress nodes are told.
    pub(super) fn ingress_settings(&self) -> [(&'static str, String); 3] {
        let path = |name: &str| self.folder.join(name).display().to_string();
        [
            (
                "DROVER_INGRESS__INTERNAL_TLS__CERTIFICATE_FILE",
                path("ingress.pem"),
            ),
            (
                "DROVER_INGRESS__INTERNAL_TLS__KEY_FILE",
                path("ingress.key"),
            ),
            (
                "DROVER_INGRESS__INTERNAL_TLS__AUTHORITIES_FILE",
                path("ca.pem"),
            ),
        ]
    }

    /// What the command line finds in `endpoints.json`.
    pub(super) fn files() -> Files {
        let path = |name: &str| Path::new(FOLDER).join(name);
        Files {
            authorities: path("ca.pem"),
            certificate: path("admin.pem"),
            key: path("admin.key"),
            node_certificate: path("ingress.pem"),
            node_key: path("ingress.key"),
        }
    }

    fn make(&self) -> anyhow::Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        fs::create_dir_all(&self.folder)?;
        let authority = authority()?;
        self.write("ca.pem", &authority.pem())?;
        self.write("ca.key", &authority.key().serialize_pem())?;
        self.certify(&authority, "state", &node(STATE_NAME)?)?;
        self.certify(&authority, "ingress", &node(INGRESS_NAME)?)?;
        self.certify(&authority, "admin", &admin()?)?;
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        self.write("tokens.key", &key.serialize_pem())?;
        self.write("tokens.json", &token::key_set(&key))?;
        self.write("policy.yaml", POLICY)?;
        self.write("state.toml", &self.state_settings()?)
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        create_private(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn certify(
        &self,
        authority: &Authority,
        name: &str,
        params: &CertificateParams,
    ) -> anyhow::Result<()> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, authority)?;
        self.write(&format!("{name}.key"), &key.serialize_pem())?;
        self.write(&format!("{name}.pem"), &certificate.pem())
    }

    fn state_settings(&self) -> anyhow::Result<String> {
        let path = |name: &str| {
            let path = self.folder.join(name).display().to_string();
            // JSON's texts are TOML's.
            serde_json::to_string(&path)
        };
        let (ca, certificate, key) = (path("ca.pem")?, path("state.pem")?, path("state.key")?);
        let (policy, keys) = (path("policy.yaml")?, path("tokens.json")?);
        let (issuer, audience) = (token::ISSUER, token::AUDIENCE);
        Ok(format!(
            "reload_interval = \"1s\"\n\
             audit_file = {audit}\n\n\
             [internal_tls]\ncertificate_file = {certificate}\nkey_file = {key}\nauthorities_file = {ca}\n\n\
             [api_tls]\ncertificate_file = {certificate}\nkey_file = {key}\nclient_authorities_file = {ca}\n\n\
             [api_access]\npolicy_file = {policy}\n\n\
             [[api_access.oidc]]\nissuer = \"{issuer}\"\naudiences = [\"{audience}\"]\njwks_file = {keys}\n",
            audit = path("audit.jsonl")?,
        ))
    }
}

fn authority() -> anyhow::Result<Authority> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "drover dev");
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn node(name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(HOSTS.map(str::to_owned))?;
    params
        .subject_alt_names
        .push(SanType::URI(name.try_into()?));
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params)
}

fn admin() -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "admin");
    name.push(DnType::OrganizationName, ADMINS);
    Ok(params)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn a_directory_keeps_its_authority() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(Some(dir.path())).unwrap();
        let read = || {
            let secured = Secured::of(&home).unwrap();
            fs::read_to_string(secured.folder.join("ca.pem")).unwrap()
        };
        let first = read();
        assert_eq!(read(), first);
    }
}
