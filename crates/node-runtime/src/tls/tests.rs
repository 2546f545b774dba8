#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::path::PathBuf;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::files::Reloading;
use crate::{Stage, Tasks};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Until when a certificate is good.
#[derive(Clone, Copy)]
enum Until {
    LongFromNow,
    LongAgo,
}

/// The files of a node.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new(own: &Authority, trusted: &Authority, name: &str) -> Self {
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        files.write(own, trusted, name, Until::LongFromNow);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, own: &Authority, trusted: &Authority, name: &str, until: Until) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let uri = SanType::URI(name.try_into().unwrap());
        params.subject_alt_names.push(uri);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if let Until::LongAgo = until {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, own).unwrap();
        std::fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
        std::fs::write(self.path("certificate.pem"), certificate.pem()).unwrap();
        std::fs::write(self.path("authorities.pem"), trusted.pem()).unwrap();
    }

    fn node(&self) -> NodeTls {
        NodeTls {
            certificate_file: self.path("certificate.pem"),
            key_file: self.path("key.pem"),
            authorities_file: self.path("authorities.pem"),
            state_names: state_names(),
            ingress_names: ingress_names(),
        }
    }

    fn client(&self) -> ClientTls {
        ClientTls {
            authorities_file: Some(self.path("authorities.pem")),
            certificate_file: Some(self.path("certificate.pem")),
            key_file: Some(self.path("key.pem")),
        }
    }
}

/// A server that sends back what it gets.
struct Echo {
    port: u16,
    tasks: Tasks,
}

impl Echo {
    async fn start(acceptor: Acceptor, tasks: &Tasks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let each = tasks.clone();
        tasks.spawn_job("echo", Stage::Intake, move |_| async move {
            while let Ok((stream, _)) = listener.accept().await {
                each.spawn_job("connection", Stage::Intake, |_| {
                    serve(acceptor.clone(), stream)
                });
            }
        });
        Self {
            port,
            tasks: tasks.clone(),
        }
    }

    async fn between_nodes(files: &Files) -> Self {
        let tasks = Tasks::new();
        let reloading = Reloading::new(&tasks, Duration::from_millis(10));
        let acceptor = Acceptor::between_nodes(&files.node(), &reloading).unwrap();
        Self::start(acceptor, &tasks).await
    }

    fn connector(&self, files: &Files) -> Connector {
        let reloading = Reloading::new(&self.tasks, Duration::from_millis(10));
        Connector::between_nodes(&files.node(), &reloading).unwrap()
    }

    async fn connect(&self, connector: &Connector) -> Option<ClientStream> {
        let uri = format!("http://127.0.0.1:{}", self.port).parse().unwrap();
        let mut stream = connector.connect(&uri).await.ok()?;
        // TLS 1.3: whether the server takes the client's certificate shows after the handshake.
        echoes(&mut stream).await.then_some(stream)
    }
}

async fn serve(acceptor: Acceptor, stream: TcpStream) {
    let Ok(mut stream) = acceptor.accept(stream).await else {
        return;
    };
    let mut byte = [0];
    while stream.read_exact(&mut byte).await.is_ok() && stream.write_all(&byte).await.is_ok() {}
}

async fn echoes(stream: &mut ClientStream) -> bool {
    let mut byte = [0];
    let sent = stream.write_all(b"x").await;
    sent.is_ok() && stream.read_exact(&mut byte).await.is_ok()
}

#[tokio::test]
async fn nodes_believe_each_other_by_authority_and_name() {
    let (ours, theirs) = (authority(), authority());
    let server = Files::new(&ours, &ours, STATE_NAME);
    let echo = Echo::between_nodes(&server).await;
    for (files, believed) in [
        (Files::new(&ours, &ours, STATE_NAME), true),
        (Files::new(&ours, &ours, INGRESS_NAME), true),
        // Of the authority, but no node.
        (
            Files::new(&ours, &ours, "spiffe://drover.dev/operator"),
            false,
        ),
        (Files::new(&theirs, &ours, STATE_NAME), false),
        (Files::new(&ours, &theirs, STATE_NAME), false),
    ] {
        let connected = echo.connect(&echo.connector(&files)).await;
        assert_eq!(connected.is_some(), believed);
    }
    let expired = Files::new(&ours, &ours, STATE_NAME);
    expired.write(&ours, &ours, STATE_NAME, Until::LongAgo);
    assert!(echo.connect(&echo.connector(&expired)).await.is_none());
    // A client that shows nothing.
    let files = Files::new(&ours, &ours, STATE_NAME);
    let nothing = ClientTls {
        authorities_file: files.client().authorities_file,
        ..ClientTls::default()
    };
    let nothing = Connector::once(&nothing, &Peer::Named(state_names())).unwrap();
    assert!(echo.connect(&nothing).await.is_none());
    // An ingress node is no server of this kind.
    let ingress = Files::new(&ours, &ours, INGRESS_NAME);
    let echo = Echo::between_nodes(&ingress).await;
    assert!(echo.connect(&echo.connector(&files)).await.is_none());
}

#[tokio::test]
async fn a_client_of_the_api_looks_for_the_host() {
    let ours = authority();
    let files = Files::new(&ours, &ours, STATE_NAME);
    let tasks = Tasks::new();
    let reloading = Reloading::new(&tasks, Duration::from_secs(60));
    let (certificate, key) = (files.path("certificate.pem"), files.path("key.pem"));
    let none = ClientCertificates::None;
    let acceptor = Acceptor::new("api", certificate, key, none, &reloading).unwrap();
    let echo = Echo::start(acceptor, &tasks).await;
    let client = ClientTls {
        authorities_file: files.client().authorities_file,
        ..ClientTls::default()
    };
    let connector = Connector::once(&client, &Peer::Host).unwrap();
    let by_name = format!("https://localhost:{}", echo.port).parse().unwrap();
    assert!(connector.connect(&by_name).await.is_ok());
    // The certificate is for the name and not for the address.
    assert!(echo.connect(&connector).await.is_none());
}

#[tokio::test]
async fn authorities_are_replaced_while_connections_go_on() {
    let (old, new) = (authority(), authority());
    let server = Files::new(&old, &old, STATE_NAME);
    let client = Files::new(&old, &old, STATE_NAME);
    let echo = Echo::between_nodes(&server).await;
    let connector = echo.connector(&client);
    let mut early = echo.connect(&connector).await.unwrap();
    // Broken files change nothing.
    std::fs::write(server.path("certificate.pem"), "junk").unwrap();
    std::fs::write(client.path("key.pem"), "junk").unwrap();
    assert!(echo.connect(&connector).await.is_some());
    server.write(&new, &new, STATE_NAME, Until::LongFromNow);
    // One side is new: they no longer believe each other.
    until(async || echo.connect(&connector).await.is_none()).await;
    client.write(&new, &new, STATE_NAME, Until::LongFromNow);
    until(async || echo.connect(&connector).await.is_some()).await;
    assert!(echoes(&mut early).await);
    let stranger = Files::new(&old, &old, STATE_NAME);
    assert!(echo.connect(&echo.connector(&stranger)).await.is_none());
}

async fn until(holds: impl AsyncFn() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited)
        .await
        .expect("it holds soon");
}

#[test]
fn what_makes_no_tls_says_which_file() {
    let files = Files::new(&authority(), &authority(), STATE_NAME);
    let half = ClientTls {
        key_file: None,
        ..files.client()
    };
    let error = Connector::once(&half, &Peer::Host).unwrap_err();
    assert!(matches!(error, TlsError::HalfAPair), "{error}");
    std::fs::write(files.path("authorities.pem"), "").unwrap();
    let error = Connector::once(&files.client(), &Peer::Host).unwrap_err();
    assert!(matches!(error, TlsError::Empty { .. }), "{error}");
    assert!(error.to_string().contains("authorities.pem"), "{error}");
}
