//! The device of a case: `lwm2m_client::Device` on a UDP socket, in a thread of its own.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lwm2m::{Path, Value};
use lwm2m_client::{Config, Device, Event, Output};
use tests::until_some;

use crate::stage::SOON;

/// The longest that a job of a case waits for its turn.
const TURN: Duration = Duration::from_millis(10);

type Job = Box<dyn FnOnce(&mut Device, Instant) + Send>;

/// A running device; switched off when dropped, without a word to the server.
pub(crate) struct CaseDevice {
    pub(crate) endpoint: String,
    jobs: Option<SyncSender<Job>>,
    moves: Arc<AtomicBool>,
    events: Arc<Mutex<Vec<Event>>>,
    thread: Option<JoinHandle<()>>,
}

impl CaseDevice {
    /// Switches a device on.
    pub(crate) fn start(config: Config, server: SocketAddr) -> Self {
        let endpoint = config.endpoint.to_string();
        let (jobs, taken) = sync_channel(1);
        let events = Arc::new(Mutex::new(Vec::new()));
        let (seen, seed) = (Arc::clone(&events), rand::random());
        let moves = Arc::new(AtomicBool::new(false));
        let moved = Arc::clone(&moves);
        let device = Device::new(config, seed);
        let thread = std::thread::spawn(move || run(device, server, &taken, (&moved, &seen)));
        Self {
            endpoint,
            jobs: Some(jobs),
            moves,
            events,
            thread: Some(thread),
        }
    }

    /// Does something with the device.
    pub(crate) fn with<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Device, Instant) -> T + Send + 'static,
    ) -> T {
        let (done, result) = sync_channel(1);
        let job: Job = Box::new(move |device, now| {
            // The case waits for it.
            let _heard = done.send(job(device, now));
        });
        self.jobs.as_ref().unwrap().send(job).unwrap();
        result.recv().unwrap()
    }

    /// From now on it has another address, as behind another bearer.
    pub(crate) fn move_away(&self) {
        self.moves.store(true, Ordering::SeqCst);
    }

    pub(crate) fn set(&self, path: &str, value: Value) {
        let path: Path = path.parse().unwrap();
        self.with(move |device, now| device.set_value(now, path, value))
            .unwrap();
    }

    /// Waits for the `count`-th event that is wanted.
    pub(crate) fn wait_for(&self, what: &str, count: usize, wanted: impl Fn(&Event) -> bool) {
        self.wait_for_within(SOON, what, count, wanted);
    }

    pub(crate) fn wait_for_within(
        &self,
        limit: Duration,
        what: &str,
        count: usize,
        wanted: impl Fn(&Event) -> bool,
    ) {
        until_some(what, limit, || {
            let events = self.events.lock().unwrap();
            if events.iter().filter(|event| wanted(event)).count() >= count {
                Ok(())
            } else {
                Err(events.clone())
            }
        });
    }

    /// How often something happened.
    pub(crate) fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        let events = self.events.lock().unwrap();
        events.iter().filter(|event| wanted(event)).count()
    }
}

impl Drop for CaseDevice {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the device of {} failed", self.endpoint);
        }
    }
}

/// Serves until nobody has jobs any more.
fn run(
    mut device: Device,
    server: SocketAddr,
    jobs: &Receiver<Job>,
    (moves, events): (&AtomicBool, &Mutex<Vec<Event>>),
) {
    let mut socket = connected(server);
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = Instant::now();
    device.set_wall_clock(now, since_1970.as_secs() as i64);
    device.start(now);
    let mut datagram = [0; 4096];
    loop {
        // Before anything that was asked for after the move is sent.
        if moves.swap(false, Ordering::SeqCst) {
            socket = connected(server);
        }
        settle(&mut device, &socket, events);
        // A port that is closed is told as an error, as is the end of the wait.
        if let Ok(length) = socket.recv(&mut datagram) {
            device.handle_datagram(Instant::now(), &datagram[..length]);
        }
        let now = Instant::now();
        device.handle_timeout(now);
        loop {
            match jobs.try_recv() {
                Ok(job) => job(&mut device, now),
                Err(std::sync::mpsc::TryRecvError::Empty) => break,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
            }
        }
    }
}

fn connected(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(TURN)).unwrap();
    socket
}

fn settle(device: &mut Device, socket: &UdpSocket, events: &Mutex<Vec<Event>>) {
    while let Some(output) = device.poll_output() {
        match output {
            Output::Transmit(datagram) => {
                // What is lost is repeated.
                let _lost = socket.send(&datagram);
            }
            Output::Event(event) => {
                if event == Event::Booted {
                    device.start(Instant::now());
                }
                events.lock().unwrap().push(event);
            }
            Output::Send(_) => unreachable!("it is on no stream"),
        }
    }
}
