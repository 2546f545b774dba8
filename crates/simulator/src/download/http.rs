//! From an HTTP server, by a thread of its own for as long as it takes.

use std::os::unix::net::UnixStream as Pair;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use lwm2m_client::{Pull, PullFailure};
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

use super::Got;

/// For the whole package.
const PATIENCE: Duration = Duration::from_mins(5);

pub(super) struct Download {
    got: Receiver<Got>,
    /// Its other end goes with the thread, which makes this one ready.
    _end: UnixStream,
}

impl Download {
    pub(super) fn begin(
        pull: &Pull,
        registry: &Registry,
        token: Token,
    ) -> Result<Self, PullFailure> {
        let (uri, limit) = (pull.uri.clone(), pull.max_bytes);
        let (told, got) = sync_channel(1);
        let waking = || {
            let (near, far) = Pair::pair()?;
            near.set_nonblocking(true)?;
            let mut near = UnixStream::from_std(near);
            registry.register(&mut near, token, Interest::READABLE)?;
            let fetch = move || {
                // A device that has another package by now does not listen.
                let _superseded = told.send(get(&uri, limit));
                drop(far);
            };
            std::thread::Builder::new()
                .name("package".to_owned())
                .spawn(fetch)?;
            std::io::Result::Ok(near)
        };
        Ok(Self {
            _end: waking().map_err(|_| PullFailure::ConnectionLost)?,
            got,
        })
    }

    pub(super) fn go_on(&mut self) -> Option<Got> {
        match self.got.try_recv() {
            Ok(got) => Some(got),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(PullFailure::ConnectionLost)),
        }
    }
}

fn get(uri: &str, limit: usize) -> Got {
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE));
    let agent = ureq::Agent::new_with_config(config.build());
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    agent
        .get(uri)
        .call()
        .and_then(|mut answer| {
            let body = answer.body_mut().with_config().limit(limit);
            body.read_to_vec()
        })
        .map_err(|error| failure(&error))
}

const fn failure(error: &ureq::Error) -> PullFailure {
    match error {
        ureq::Error::BodyExceedsLimit(_) => PullFailure::OutOfMemory,
        ureq::Error::StatusCode(_) | ureq::Error::BadUri(_) | ureq::Error::HostNotFound => {
            PullFailure::InvalidUri
        }
        _ => PullFailure::ConnectionLost,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answers one request.
    fn server(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("http://{}/fw", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _length = stream.read(&mut request).unwrap();
            stream.write_all(answer).unwrap();
        });
        uri
    }

    #[test]
    fn a_package_comes_whole_or_tells_why_not() {
        let package = server(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(get(&package, 5), Ok(b"hello".to_vec()));
        let large = server(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(get(&large, 4), Err(PullFailure::OutOfMemory));
        let absent = server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(get(&absent, 5), Err(PullFailure::InvalidUri));
        let broken = server(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
        assert_eq!(get(&broken, 5), Err(PullFailure::ConnectionLost));
    }
}
