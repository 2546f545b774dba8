//! Asking the nodes' admin endpoints whether they are ready.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

const POLL: Duration = Duration::from_millis(100);
/// A node that starts may be slow to answer, but is asked again.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// The reasons of a node that is not ready are short.
const MAX_ANSWER_BYTES: u64 = 16 * 1024;

/// Waits until the node with this admin address is ready; the error is why it is not.
pub(crate) async fn wait(admin: &str, longest: Duration) -> Result<(), String> {
    let end = Instant::now() + longest;
    loop {
        let reason = match timeout(ANSWER_TIME, ask(admin)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(reason)) => reason,
            Err(_) => "its admin endpoint does not answer".to_owned(),
        };
        if Instant::now() >= end {
            return Err(reason);
        }
        sleep(POLL).await;
    }
}

async fn ask(admin: &str) -> Result<(), String> {
    let answer = exchange(admin)
        .await
        .map_err(|error| format!("its admin endpoint {admin}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_ascii_whitespace().nth(1).unwrap_or("nothing");
    match status {
        "200" => Ok(()),
        "503" => Err(body.trim().replace('\n', "; ")),
        other => Err(format!("its admin endpoint answers {other}")),
    }
}

async fn exchange(admin: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    // HTTP/1.0 has neither chunks nor connections that stay.
    stream
        .write_all(format!("GET /readyz HTTP/1.0\r\nHost: {admin}\r\n\r\n").as_bytes())
        .await?;
    let mut answer = Vec::new();
    stream
        .take(MAX_ANSWER_BYTES)
        .read_to_end(&mut answer)
        .await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use tokio::net::TcpListener;

    use super::*;

    async fn answer(listener: &TcpListener, text: &str) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 256];
        let _ = stream.read(&mut request).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn a_node_is_waited_for_until_it_is_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let node = async {
            answer(
                &listener,
                "HTTP/1.0 503 Service Unavailable\r\n\r\nraft: shard 2 has no leader\n",
            )
            .await;
            answer(&listener, "HTTP/1.0 200 OK\r\n\r\n").await;
        };
        let (ready, ()) = tokio::join!(wait(&address, Duration::from_secs(20)), node);
        assert_eq!(ready, Ok(()));
    }

    #[tokio::test]
    async fn the_reason_is_what_the_node_said() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let node = answer(
            &listener,
            "HTTP/1.0 503 Service Unavailable\r\n\r\nraft: no leader\nstore: opening\n",
        );
        let (ready, ()) = tokio::join!(wait(&address, Duration::ZERO), node);
        assert_eq!(ready, Err("raft: no leader; store: opening".to_owned()));
    }
}
