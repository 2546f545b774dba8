//! The admin endpoint of a node.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::process::Program;
use crate::wait::until_some;

/// A loopback address that nobody listens at.
pub fn free_address() -> String {
    format!("127.0.0.1:{}", free_port::free_port())
}

/// Waits until `/readyz` at `admin` says that `program` takes traffic.
pub fn wait_until_ready(program: &mut Program, admin: &str) {
    ready_or_ended(program, admin).unwrap_or_else(|output| panic!("{output}"));
}

/// As [`wait_until_ready`]; what `program` said if it ended instead.
pub(crate) fn ready_or_ended(program: &mut Program, admin: &str) -> Result<(), String> {
    until_some("a ready node", Duration::from_secs(60), || {
        if !program.is_running() {
            return Ok(Err(program.output()));
        }
        match get(admin, "/readyz") {
            Some(answer) if answer.starts_with("HTTP/1.1 200") => Ok(Ok(())),
            other => Err((other, program.output())),
        }
    })
}

/// A counter's value over all its labels, 0 while it is not there.
pub fn metric(admin: &str, name: &str) -> f64 {
    let metrics = get(admin, "/metrics").unwrap_or_default();
    metrics
        .lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Waits until every one of these ingress nodes, by their admin addresses, knows of all of them and of no other.
pub fn wait_for_members(admins: &[&str]) {
    for admin in admins {
        until_some("all members", Duration::from_secs(60), || {
            let members = metric(admin, "drover_ingress_members");
            if members as usize == admins.len() {
                Ok(())
            } else {
                Err(members)
            }
        });
    }
}

/// A plain HTTP GET; the whole answer.
fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
