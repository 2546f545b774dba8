//! A flood of handshakes from addresses that are not the sender's, in a network of the test's own.
//!
//! A ClientHello is all that a sender can do who does not get the answers: without the cookie in them nothing goes on
//! (RFC 6347 §4.2.1). What it costs a node must not be felt by the devices that it serves, nor grow its memory.

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dtls::{Client, ClientConfig, ClientOutput, Psk};
use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use serde_json::Value;
use tests::{Drover, Options, binary, metric, resident_bytes, until_some};

/// Set where the test runs inside its network.
const INSIDE: &str = "DROVER_TEST_OWN_NETWORK";
const DEVICES: usize = 20;
/// Hellos in a millisecond.
const RATE: u64 = 40;
/// Client random of a ClientHello: behind the headers of record and handshake and the version.
const RANDOM: std::ops::Range<usize> = 27..35;

#[test]
fn registered_devices_do_not_feel_a_flood_of_spoofed_handshakes() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let name = "flood::registered_devices_do_not_feel_a_flood_of_spoofed_handshakes";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", name])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

fn inside() {
    // Every address of 10/8 is the host's own: so packets can come from any of them.
    for arguments in ["link set lo up", "route add local 10.0.0.0/8 dev lo"] {
        let done = Command::new("ip").args(arguments.split(' ')).status();
        assert!(done.unwrap().success(), "ip {arguments}");
    }
    let drover = Drover::start(&Options {
        state_nodes: 1,
        devices: DEVICES,
        ..Options::default()
    });
    let devices = until_some("registered devices", Duration::from_secs(60), || {
        let devices = drover.devices();
        if devices.len() == DEVICES {
            Ok(devices)
        } else {
            Err(devices)
        }
    });
    let admin = drover.endpoint("/ingress/0/admin");
    // Once before, so that caches are warm in both.
    read_p99(&drover, &devices);
    let (idle, before) = (read_p99(&drover, &devices), resident(&drover));

    let target = drover.endpoint("/ingress/0/coaps").parse().unwrap();
    let received = || metric(&admin, "drover_ingress_datagrams_received_total");
    let received_before = received();
    let flood = Flood::start(target);
    until_some("a flood", Duration::from_secs(60), || {
        match flood.sent.load(Ordering::Relaxed) {
            sent if sent > 1000 * RATE => Ok(()),
            sent => Err(sent),
        }
    });
    // Other programs take the processors for a moment; what a flood costs stays for as long as the flood does.
    until_some("reads as before", Duration::from_secs(60), || {
        let flooded = read_p99(&drover, &devices);
        // Below a millisecond the clock of a busy machine decides.
        if flooded <= 5.0 * idle.max(1.0) {
            Ok(())
        } else {
            Err(format!("p99 {idle} ms, {flooded} ms in the flood"))
        }
    });
    let (grown, sent) = (resident(&drover) - before, flood.stop());

    let arrived = received() - received_before;
    assert!(arrived > 0.9 * sent as f64, "{arrived} of {sent} arrived");
    assert!(grown < 16e6, "{grown} bytes more after {sent} handshakes");
    let dtls_failures = metric(&admin, "drover_ingress_handshakes_failed_total");
    assert!(
        dtls_failures.abs() < 1.0,
        "state was kept for {dtls_failures} handshakes"
    );
    assert_eq!(drover.devices().len(), DEVICES);
}

/// Resident memory of the ingress node, in bytes.
fn resident(drover: &Drover) -> f64 {
    resident_bytes(drover.pid("/ingress/0/pid")).unwrap() as f64
}

/// Milliseconds in which 99 of 100 reads of these devices are answered; all have to be.
fn read_p99(drover: &Drover, devices: &[String]) -> f64 {
    let api = drover.endpoint("/state/0/api");
    let mut command = Command::new(binary("drover-sim"));
    command.args([
        "bench",
        "read",
        "--api",
        &api,
        "--callers",
        "4",
        "--reads",
        "4000",
    ]);
    for device in devices {
        command.args(["--endpoint", device]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    seen["p99_ms"].as_f64().unwrap()
}

/// Sends hellos, each from another address.
struct Flood {
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Flood {
    fn start(target: SocketAddrV4) -> Self {
        let (sent, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (count, ended) = (sent.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            let (mut hello, begun) = (client_hello(), Instant::now());
            while !ended.load(Ordering::Relaxed) {
                let number = count.load(Ordering::Relaxed);
                if number > RATE * begun.elapsed().as_millis() as u64 {
                    thread::park_timeout(Duration::from_micros(200));
                    continue;
                }
                hello[RANDOM].copy_from_slice(&number.to_be_bytes());
                send_from(&socket, source(number), target, &hello);
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { sent, stop, thread }
    }

    /// How many it has sent.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.sent.load(Ordering::Relaxed)
    }
}

/// One of 2^24 addresses, far from the one before.
fn source(number: u64) -> Ipv4Addr {
    let scattered = number.wrapping_mul(0x9E_3779) as u32;
    Ipv4Addr::from(0x0A00_0000 | (scattered & 0x00FF_FFFF))
}

fn client_hello() -> Vec<u8> {
    let psk = Psk::new(b"nobody has this key").unwrap();
    let config = ClientConfig::new(b"nobody".to_vec(), psk);
    let mut client = Client::new(config, [7; 32]);
    client.start(Instant::now());
    match client.poll_output() {
        Some(ClientOutput::Transmit(hello)) => hello,
        other => panic!("{other:?}"),
    }
}

fn send_from(socket: &UdpSocket, source: Ipv4Addr, target: SocketAddrV4, datagram: &[u8]) {
    let from = in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: in_addr {
            s_addr: u32::from(source).to_be(),
        },
        ipi_addr: in_addr { s_addr: 0 },
    };
    let control = [ControlMessage::Ipv4PacketInfo(&from)];
    let slices = [IoSlice::new(datagram)];
    let to = SockaddrIn::from(target);
    // A full socket loses datagrams, as networks do.
    let _lost = sendmsg(
        socket.as_raw_fd(),
        &slices,
        &control,
        MsgFlags::empty(),
        Some(&to),
    );
}
