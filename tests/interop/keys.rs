//! Keys and certificates, made by OpenSSL.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with a CA and what it signed.
pub(crate) struct Authority {
    folder: PathBuf,
}

/// P-256 keys of one side; all files in DER and in PEM.
pub(crate) struct Keys {
    base: PathBuf,
}

impl Keys {
    /// A file of these keys: `key.pem`, `pub.der`, `cert.pem`, …
    pub(crate) fn file(&self, kind: &str) -> String {
        format!("{}.{kind}", self.base.display())
    }
}

impl Authority {
    pub(crate) fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let authority = Self {
            folder: folder.to_owned(),
        };
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=Interop -days 30 \
             -keyout ca.key.pem -out ca.cert.pem",
        );
        authority.openssl("x509 -in ca.cert.pem -outform DER -out ca.cert.der");
        std::fs::write(folder.join("index.txt"), "").unwrap();
        std::fs::write(folder.join("crlnumber"), "01\n").unwrap();
        std::fs::write(
            folder.join("ca.cnf"),
            "[ca]\ndefault_ca=a\n[a]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\ndefault_crl_days=30\n",
        )
        .unwrap();
        authority
    }

    /// A key, and a certificate for this common name and these alternative names.
    pub(crate) fn issue(&self, name: &str, alternatives: &str) -> Keys {
        self.openssl(&format!(
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key.pem"
        ));
        self.openssl(&format!(
            "req -new -key {name}.key.pem -subj /CN={name} -out {name}.csr"
        ));
        let extensions = format!("subjectAltName={alternatives}\nbasicConstraints=CA:FALSE\n");
        std::fs::write(self.folder.join(format!("{name}.ext")), extensions).unwrap();
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.cert.pem -CAkey ca.key.pem -CAcreateserial -days 30 -sha256 \
             -extfile {name}.ext -out {name}.cert.pem"
        ));
        self.convert(name)
    }

    /// A key, and a certificate that only that key signed.
    pub(crate) fn self_signed(&self, name: &str) -> Keys {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -days 30 \
             -addext basicConstraints=critical,CA:FALSE -keyout {name}.key.pem -out {name}.cert.pem"
        ));
        self.convert(name)
    }

    /// The other forms of a key and its certificate.
    fn convert(&self, name: &str) -> Keys {
        for conversion in [
            format!("x509 -in {name}.cert.pem -outform DER -out {name}.cert.der"),
            format!("pkcs8 -topk8 -nocrypt -in {name}.key.pem -outform DER -out {name}.key.der"),
            format!("pkey -in {name}.key.pem -pubout -outform DER -out {name}.pub.der"),
            format!("pkey -in {name}.key.pem -pubout -out {name}.pub.pem"),
        ] {
            self.openssl(&conversion);
        }
        Keys {
            base: self.folder.join(name),
        }
    }

    /// Makes the revocation list anew, with these names on it.
    pub(crate) fn revoke(&self, names: &[&str]) {
        for name in names {
            self.openssl(&format!(
                "ca -config ca.cnf -cert ca.cert.pem -keyfile ca.key.pem -revoke {name}.cert.pem"
            ));
        }
        self.openssl(
            "ca -config ca.cnf -cert ca.cert.pem -keyfile ca.key.pem -gencrl -out new.crl.pem",
        );
        // All at once, as whoever reads it may come at any time.
        let list = self.revocation_list();
        std::fs::rename(self.folder.join("new.crl.pem"), list).unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("ca.cert.pem")
    }

    pub(crate) fn revocation_list(&self) -> PathBuf {
        self.folder.join("ca.crl.pem")
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(&self.folder)
            .output()
            .expect("openssl can be started");
        assert!(
            output.status.success(),
            "openssl {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
