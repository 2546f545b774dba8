//! A server on this host that says what a test wants it to, right or wrong, one connection after the other.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Ends with its owner.
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What is written back, byte by byte.
pub(crate) struct Reply {
    bytes: Vec<u8>,
    /// Whether the connection stays open, with nothing coming any more.
    held: bool,
}

impl Reply {
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            held: false,
        }
    }

    pub(crate) fn held(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            held: true,
        }
    }

    pub(crate) fn with(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut head = format!("HTTP/1.1 {status} said\r\nconnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        Self::raw([head.as_bytes(), body].concat())
    }

    pub(crate) fn ok(body: &[u8]) -> Self {
        Self::with(200, &[], body)
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::with(status, &[], b"")
    }

    pub(crate) fn redirect(location: &str) -> Self {
        Self::with(302, &[("location", location)], b"")
    }
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (told, stopped) = (asked.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                open.extend(serve(stream.unwrap(), &answer, &told));
            }
        });
        Self {
            address,
            asked,
            stop,
            thread: Some(thread),
        }
    }

    /// `127.0.0.1` and the port.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// The same server by another name.
    pub(crate) fn other_host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host())
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the server panicked");
        }
    }
}

/// The connection, if it is to stay open.
fn serve(
    mut stream: TcpStream,
    answer: &impl Fn(&Asked) -> Reply,
    told: &Mutex<Vec<Asked>>,
) -> Option<TcpStream> {
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let request = read(&stream)?;
    told.lock().unwrap().push(request.clone());
    let reply = answer(&request);
    // Whoever has read enough goes away.
    let _ = stream.write_all(&reply.bytes);
    reply.held.then_some(stream)
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_ascii_lowercase(), value.to_owned()))
        })
        .collect();
    Some(Asked { path, headers })
}
