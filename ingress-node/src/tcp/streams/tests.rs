#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coap::reliable::{CloseReason, decode, encode};
use coap::{Code, MessageId, Token, Type};
use dtls::PeerRejection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, RootCertStore};

use super::*;
use crate::config::Config;
use crate::tcp::Security;
use crate::trust::TrustFiles;

const SOON: Duration = Duration::from_secs(20);
const CSM: Code = Code::from_byte(0xe1);
const RELEASE: Code = Code::from_byte(0xe4);
const ABORT: Code = Code::from_byte(0xe5);

const PLENTY: HandshakeRate = HandshakeRate::new(1_000_000, 1_000_000);

/// For localhost, until 2126; nothing else has this key.
const CERTIFICATE: &str = include_str!("tests/certificate.pem");
const KEY: &str = include_str!("tests/key.pem");

/// The connections of a worker under test; the test plays the device.
struct Rig {
    streams: Streams,
    address: SocketAddr,
    outputs: Vec<Output>,
    newest: Option<StreamId>,
}

fn limits() -> Limits {
    Limits {
        connections: 3,
        connections_per_source: 2,
        handshake_time: SOON,
        handshake_rate: PLENTY,
        handshake_rate_per_source: PLENTY,
        write_time: SOON,
        connection: reliable::Config::default(),
    }
}

impl Rig {
    fn new(limits: Limits, tls: Option<TlsAcceptor>) -> Self {
        let security = match tls {
            Some(_) => Security::Tls,
            None => Security::None,
        };
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), security).unwrap();
        let address = listener.inner.local_addr().unwrap();
        Self {
            streams: Streams::new(vec![listener], tls, limits),
            address,
            outputs: Vec::new(),
            newest: None,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    fn settle(&mut self) {
        while let Some((id, output)) = self.streams.poll_output() {
            self.newest = Some(id);
            self.outputs.push(output);
        }
    }

    /// Serves until the device is done.
    async fn serve<T>(&mut self, device: impl Future<Output = T>) -> T {
        let mut device = std::pin::pin!(device);
        loop {
            self.settle();
            tokio::select! {
                done = &mut device => return done,
                event = self.streams.event() => self.streams.handle_event(Instant::now(), event),
                () = tokio::time::sleep(SOON) => panic!("nothing happens: {:?}", self.outputs),
            }
        }
    }

    /// Serves until this holds.
    async fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        self.settle();
        while !holds(self) {
            let event = timeout(SOON, self.streams.event()).await.unwrap();
            self.streams.handle_event(Instant::now(), event);
            self.settle();
        }
    }
}

fn message(code: Code, token: u8) -> Message {
    let mut message = Message::new(Type::NonConfirmable, code, MessageId(0));
    message.token = Token::new(&[token]).unwrap();
    message
}

async fn tell(stream: &mut (impl AsyncWriteExt + Unpin), messages: &[Message]) {
    let mut bytes = Vec::new();
    for message in messages {
        encode(message, &mut bytes);
    }
    stream.write_all(&bytes).await.unwrap();
}

async fn hear(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Message> {
    let mut bytes = Vec::new();
    loop {
        if let Some((message, _)) = decode(&bytes, 100_000).unwrap() {
            return Some(message);
        }
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => return None,
        }
    }
}

#[tokio::test]
async fn messages_pass_and_an_abort_ends_the_connection() {
    let mut rig = Rig::new(limits(), None);
    let mut device = rig.connect().await;
    tell(&mut device, &[message(CSM, 0), message(Code::GET, 1)]).await;
    rig.until(|rig| rig.outputs.len() == 2).await;
    assert_eq!(rig.outputs[1], Output::Message(message(Code::GET, 1)));
    let id = rig.newest.unwrap();
    assert_eq!(rig.streams.origin(id).unwrap().transport, Transport::Tcp);

    assert!(rig.streams.send(id, &message(Code::CONTENT_2_05, 1)));
    let heard = rig
        .serve(async { [hear(&mut device).await, hear(&mut device).await] })
        .await;
    let codes = heard.map(|message| message.unwrap().code);
    assert_eq!(codes, [CSM, Code::CONTENT_2_05]);

    tell(&mut device, &[message(ABORT, 0)]).await;
    assert_eq!(rig.serve(hear(&mut device)).await, None);
    let diagnostic = String::new();
    let closed = Output::Closed(CloseReason::Aborted { diagnostic });
    assert_eq!(rig.outputs.pop(), Some(closed));
    drop(device);
    rig.until(|rig| rig.streams.len() == 0).await;
    assert!(!rig.streams.send(id, &message(Code::GET, 2)));
    assert!(rig.streams.sources.is_empty() && rig.streams.timers.is_empty());
}

#[tokio::test]
async fn the_reason_of_an_end_arrives_although_more_was_sent() {
    let mut rig = Rig::new(limits(), None);
    let mut device = rig.connect().await;
    tell(&mut device, &[message(Code::GET, 1)]).await;
    device.write_all(&vec![0; 100_000]).await.unwrap();
    let heard = rig
        .serve(async { [hear(&mut device).await, hear(&mut device).await] })
        .await;
    assert_eq!(heard[1].as_ref().unwrap().code, ABORT);
    assert_eq!(rig.outputs, [Output::Closed(CloseReason::NoSettings)]);
}

#[tokio::test]
async fn a_silent_connection_is_ended_and_goes_even_if_the_device_holds_on() {
    let mut rig = Rig::new(limits(), None);
    let mut device = rig.connect().await;
    rig.until(|rig| rig.streams.len() == 1 && rig.streams.poll_timeout().is_some())
        .await;
    let due = rig.streams.poll_timeout().unwrap();
    rig.streams.handle_timeout(due);
    rig.settle();
    assert_eq!(rig.outputs, [Output::Closed(CloseReason::NoSettings)]);
    rig.serve(async { while hear(&mut device).await.is_some() {} })
        .await;
    let due = rig.streams.poll_timeout().unwrap();
    rig.streams.handle_timeout(due);
    assert_eq!(rig.streams.len(), 0);
    // The read that was under way ends too, so that the socket is closed.
    rig.until(|rig| rig.streams.transfers.is_empty()).await;
}

#[tokio::test]
async fn connections_are_bounded_by_source() {
    let mut rig = Rig::new(limits(), None);
    let devices = [
        rig.connect().await,
        rig.connect().await,
        rig.connect().await,
    ];
    rig.until(|rig| rig.streams.counters().refused == 1).await;
    assert_eq!(rig.streams.len(), 2);
    drop(devices);
    rig.until(|rig| rig.streams.len() == 0).await;
    let _device = rig.connect().await;
    rig.until(|rig| rig.streams.len() == 1).await;
}

/// As when the worker starts anew: who was connected goes, and may come back.
#[tokio::test]
async fn devices_are_told_to_connect_again() {
    let mut rig = Rig::new(limits(), None);
    let mut devices = [rig.connect().await, rig.connect().await];
    for device in &mut devices {
        tell(device, &[message(CSM, 0)]).await;
    }
    rig.until(|rig| rig.outputs.len() == 2).await;
    rig.streams.release_all(Instant::now());
    for mut device in devices {
        let heard = rig
            .serve(async { [hear(&mut device).await, hear(&mut device).await] })
            .await;
        let codes = heard.map(|message| message.unwrap().code);
        assert_eq!(codes, [CSM, RELEASE]);
    }
    rig.until(|rig| rig.streams.len() == 0).await;
    let _again = rig.connect().await;
    rig.until(|rig| rig.streams.len() == 1).await;
    rig.streams.stop_accepting();
    let refused = TcpStream::connect(rig.address).await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test]
async fn closing_tells_the_devices() {
    let mut rig = Rig::new(limits(), None);
    let mut device = rig.connect().await;
    tell(&mut device, &[message(CSM, 0)]).await;
    rig.until(|rig| !rig.outputs.is_empty()).await;
    rig.streams.close().await;
    let heard = [hear(&mut device).await, hear(&mut device).await];
    let codes = heard.map(|message| message.unwrap().code);
    assert_eq!(codes, [CSM, RELEASE]);
    assert_eq!(hear(&mut device).await, None);
}

/// A certificate and its key as files.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    _folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] =
            ["certificate.pem", "key.pem"].map(|name| folder.path().join(name));
        std::fs::write(&certificate, CERTIFICATE).unwrap();
        std::fs::write(&key, KEY).unwrap();
        Self {
            certificate,
            key,
            _folder: folder,
        }
    }
}

fn tls_files(certificate: &Path, key: &Path) -> TrustFiles {
    let config = Config {
        coaps_tcp_listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        coaps_tcp_requires_certificate: false,
        tls_certificate_file: Some(certificate.to_owned()),
        tls_key_file: Some(key.to_owned()),
        ..Config::default()
    };
    TrustFiles::of(&config).unwrap()
}

/// Of a device that trusts the certificate.
fn trusting() -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    roots.add(root).unwrap();
    ClientConfig::builder().with_root_certificates(roots)
}

#[tokio::test]
async fn tls_is_spoken_with_the_certificate_given() {
    let folder = Files::new();
    let [certificate, key] = [&folder.certificate, &folder.key];
    assert!(tls_files(key, certificate).read().is_err());
    let trust = tls_files(certificate, key).read().unwrap();
    let mut rig = Rig::new(limits(), trust.tls);

    let config = trusting().with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = rig.connect().await;
    let name = "localhost".try_into().unwrap();
    let mut device = rig.serve(connector.connect(name, stream)).await.unwrap();
    tell(&mut device, &[message(CSM, 0), message(Code::GET, 1)]).await;
    rig.until(|rig| rig.outputs.len() == 2).await;
    let id = rig.newest.unwrap();
    assert_eq!(rig.streams.origin(id).unwrap().transport, Transport::Tls);
    let heard = rig.serve(hear(&mut device)).await;
    assert_eq!(heard.unwrap().code, CSM);

    // Who speaks no TLS is not served.
    let mut plain = rig.connect().await;
    tell(&mut plain, &[message(CSM, 0)]).await;
    rig.until(|rig| rig.streams.counters().handshakes_failed == 1)
        .await;
    assert_eq!(rig.streams.len(), 1);
}

/// A device that shows a certificate, and has sent a request already.
async fn shown(rig: &mut Rig) -> (TlsStream<TcpStream>, StreamId) {
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let config = trusting()
        .with_client_auth_cert(chain.clone(), key)
        .unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = rig.connect().await;
    let connect = async {
        let mut device = connector
            .connect("localhost".try_into().unwrap(), stream)
            .await
            .unwrap();
        tell(&mut device, &[message(CSM, 0), message(Code::GET, 1)]).await;
        device
    };
    let device = rig.serve(connect).await;
    rig.until(|rig| rig.streams.len() == 1).await;
    let (id, said) = rig.streams.poll_shown().unwrap();
    assert_eq!(said, [chain[0].to_vec()]);
    (device, id)
}

#[tokio::test]
async fn nothing_is_read_before_it_is_decided_whose_a_certificate_is() {
    let files = Files::new();
    let trust = tls_files(&files.certificate, &files.key).read().unwrap();
    let mut rig = Rig::new(limits(), trust.tls.clone());
    let (mut device, id) = shown(&mut rig).await;
    assert_eq!(rig.outputs, []);
    assert!(rig.streams.origin(id).is_none());
    let proved = Proved {
        principal: Arc::new(Principal {
            endpoints: vec![lwm2m::EndpointName::new("meter").unwrap()],
            ..Principal::anyone()
        }),
        certificate: None,
    };
    rig.streams.admit(Instant::now(), id, proved.clone());
    rig.until(|rig| rig.outputs.len() == 2).await;
    let origin = rig.streams.origin(id).unwrap();
    assert_eq!(origin.principal, proved.principal);
    assert_eq!(
        rig.streams
            .of(|proved| !proved.principal.endpoints.is_empty()),
        [id]
    );
    rig.streams.abort(Instant::now(), id, "enough");
    let heard = rig
        .serve(async { [hear(&mut device).await, hear(&mut device).await] })
        .await;
    let last = heard[1].clone().unwrap();
    assert_eq!((last.code, &last.payload[..]), (ABORT, &b"enough"[..]));
    drop(device);
    rig.until(|rig| rig.streams.len() == 0).await;
}

#[tokio::test]
async fn who_is_turned_away_is_told_why_and_leaves_nothing() {
    let files = Files::new();
    let trust = tls_files(&files.certificate, &files.key).read().unwrap();
    let mut rig = Rig::new(limits(), trust.tls.clone());
    let (mut device, id) = shown(&mut rig).await;
    rig.streams
        .turn_away(Instant::now(), id, PeerRejection::UnknownIssuer);
    let heard = rig
        .serve(async { [hear(&mut device).await, hear(&mut device).await] })
        .await;
    let last = heard[1].clone().unwrap();
    assert_eq!(
        (last.code, &last.payload[..]),
        (ABORT, &b"issuer is unknown"[..])
    );
    let is_a_message = |output: &Output| matches!(output, Output::Message(_));
    assert!(!rig.outputs.iter().any(is_a_message), "{:?}", rig.outputs);
    drop(device);
    rig.until(|rig| rig.streams.len() == 0).await;
    assert!(rig.streams.sources.is_empty());

    // The end of everything is theirs, too, of whom it is not decided.
    let (_device, _id) = shown(&mut rig).await;
    rig.streams.release_all(Instant::now());
    assert_eq!(rig.streams.len(), 0);
    assert!(rig.streams.sources.is_empty());
}

#[tokio::test]
async fn tls_handshakes_of_a_source_are_rationed() {
    let files = Files::new();
    let trust = tls_files(&files.certificate, &files.key).read().unwrap();
    let few = Limits {
        // One with ECDHE counts for ten.
        handshake_rate_per_source: HandshakeRate::new(1, 10),
        ..limits()
    };
    let mut rig = Rig::new(few, trust.tls);
    let _first = rig.connect().await;
    let _second = rig.connect().await;
    rig.until(|rig| rig.streams.counters().refused == 1).await;
}
