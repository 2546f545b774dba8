//! Decisions with a Kubernetes API behind them: one in this process, which answers the two reviews over HTTPS.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use access::{Kind, Rule, rule};
use node_runtime::tls::{Acceptor, ClientCertificates};
use node_runtime::{Stage, Tasks};
use rcgen::generate_simple_self_signed;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::config::Kubernetes;
use super::refusal::Undecided;
use super::*;

/// An API server that knows one token and one right.
struct Server {
    folder: tempfile::TempDir,
    tasks: Tasks,
    asked: Arc<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    count: AtomicUsize,
    /// The last review.
    last: Mutex<Value>,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let file = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let certificate = file("server.pem", made.cert.pem());
        let key = file("server.key", made.signing_key.serialize_pem());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let authority = certificate.display();
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{{name: x, context: {{cluster: x, user: x}}}}]\n\
             clusters: [{{name: x, cluster: {{server: 'https://{address}', certificate-authority: '{authority}'}}}}]\n\
             users: [{{name: x, user: {{token: own-token}}}}]\n"
        );
        file("kubeconfig", kubeconfig);
        let tasks = Tasks::new();
        let reloading = Reloading::new(&tasks, Duration::from_secs(60));
        let none = ClientCertificates::None;
        let acceptor = Acceptor::new("server", certificate, key, none, &reloading).unwrap();
        let asked = Arc::new(Asked::default());
        let (each, told) = (tasks.clone(), asked.clone());
        tasks.spawn_job("server", Stage::Intake, move |_| async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, told) = (acceptor.clone(), told.clone());
                each.spawn_job("connection", Stage::Intake, |_| {
                    serve(acceptor, stream, told)
                });
            }
        });
        Self {
            folder,
            tasks,
            asked,
        }
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    async fn access(&self) -> Access {
        let configured = ApiAccess {
            kubernetes: Some(Kubernetes {
                kubeconfig: Some(self.kubeconfig()),
                ..Kubernetes::default()
            }),
            ..ApiAccess::default()
        };
        let reloading = Reloading::new(&self.tasks, Duration::from_secs(60));
        Access::open(&configured, None, &reloading).await.unwrap()
    }

    fn count(&self) -> usize {
        self.asked.count.load(Ordering::Relaxed)
    }
}

async fn serve(acceptor: Acceptor, stream: TcpStream, asked: Arc<Asked>) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let mut review: Value = serde_json::from_slice(&body).unwrap();
        review["status"] = status_of(&review);
        asked.count.fetch_add(1, Ordering::Relaxed);
        *asked.last.lock().unwrap() = review.clone();
        let answer = review.to_string();
        let head = format!(
            "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all((head + &answer).as_bytes()).await.unwrap();
    }
}

fn status_of(review: &Value) -> Value {
    let spec = &review["spec"];
    if review["kind"] == "SubjectAccessReview" {
        let wanted = &spec["resourceAttributes"];
        return json!({"allowed": wanted["verb"] == "get" && spec["user"] == "system:serviceaccount:default:reader"});
    }
    let user = json!({"username": "system:serviceaccount:default:reader", "groups": ["system:serviceaccounts"]});
    match spec["token"].as_str() {
        Some("good") => json!({"authenticated": true, "audiences": ["drover.dev"], "user": user}),
        // A server that knows no audiences.
        Some("old") => json!({"authenticated": true, "user": user}),
        _ => json!({"authenticated": false, "error": "unknown"}),
    }
}

fn permission(path: &str) -> Permission {
    match rule(path) {
        Some(Rule::Needs(permission)) => permission,
        other => panic!("{path}: {other:?}"),
    }
}

#[tokio::test]
async fn kubernetes_says_who_calls_and_what_they_may_do() {
    let server = Server::start().await;
    let access = server.access().await;
    let reader = access.identify(Some("good"), None).await.unwrap();
    assert_eq!(reader.name, "system:serviceaccount:default:reader");
    assert_eq!(reader.kind, Kind::ServiceAccount);
    let refused = |reason| Err(Refusal::Token(reason));
    let bad = access.identify(Some("bad"), None).await;
    assert_eq!(bad, refused(TokenRefusal::Unknown));
    let old = access.identify(Some("old"), None).await;
    assert_eq!(old, refused(TokenRefusal::Audience));
    assert_eq!(
        access.identify(None, None).await,
        Err(Refusal::NoCredentials)
    );

    let namespace = Namespace::default();
    let read = permission("/drover.v1.Operations/Read");
    let allowed = access.allow(&reader, &namespace, read).await;
    assert_eq!(allowed, Ok(()));
    let asked = server.asked.last.lock().unwrap()["spec"].clone();
    let wanted = json!({
        "group": "drover.dev", "namespace": "default", "resource": "devices", "subresource": "resources", "verb": "get",
    });
    assert_eq!(asked["resourceAttributes"], wanted);
    assert_eq!(asked["groups"][0], "system:serviceaccounts");
    let write = permission("/drover.v1.Operations/Write");
    let denied = access.allow(&reader, &namespace, write).await;
    assert!(
        matches!(denied, Err(Refusal::Forbidden { .. })),
        "{denied:?}"
    );

    // The same again is not asked again.
    let count = server.count();
    for _ in 0..3 {
        assert_eq!(
            access.identify(Some("good"), None).await.as_ref(),
            Ok(&reader)
        );
        assert!(access.identify(Some("bad"), None).await.is_err());
        assert!(access.allow(&reader, &namespace, read).await.is_ok());
        assert!(access.allow(&reader, &namespace, write).await.is_err());
    }
    assert_eq!(server.count(), count);
}

#[tokio::test]
async fn nobody_is_let_in_while_kubernetes_is_silent() {
    let server = Server::start().await;
    let access = server.access().await;
    let reader = access.identify(Some("good"), None).await.unwrap();
    // Another access with the address of a server that is gone.
    server
        .tasks
        .shut_down(Duration::from_millis(10), std::future::pending())
        .await;
    let undecided = Refusal::Undecided(Undecided::Kubernetes);
    let unknown = access.identify(Some("another"), None).await;
    assert_eq!(unknown, Err(undecided.clone()));
    let read = permission("/drover.v1.Operations/Read");
    let allowed = access.allow(&reader, &Namespace::default(), read).await;
    assert_eq!(allowed, Err(undecided));
}
