//! A device of a test: `lwm2m_client::Device` in a thread of its own, on a UDP socket unless something else drives it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dtls::{CidOffer, Client, ClientConfig, ClientOutput, Psk};
use lwm2m::{Path, Value};
use lwm2m_client::{Config, Device, Event, Output, RegistrationFailure};

use crate::wait::until_some;

/// How long anything may take.
const SOON: Duration = Duration::from_secs(30);
/// The longest that a job waits for its turn.
const TURN: Duration = Duration::from_millis(10);

type Job = Box<dyn FnOnce(&mut Device, Instant) + Send>;

/// A running device; switched off when dropped, without a word to the server.
#[derive(Debug)]
pub struct LiveDevice {
    /// The name that it registers under.
    pub endpoint: String,
    jobs: Option<SyncSender<Job>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and the test both look at.
#[derive(Debug, Default)]
struct Shared {
    moves: AtomicBool,
    handshakes: AtomicUsize,
    events: Mutex<Vec<Event>>,
}

impl Shared {
    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveDevice {
    /// Switches a device on that is not secured.
    pub fn start(config: Config, server: SocketAddr) -> Self {
        Self::switch_on(config, None, server)
    }

    /// Switches a device on that talks over DTLS with a Connection ID, by a key in hexadecimal whose identity is the
    /// device's name, and makes another session when its server is silent.
    pub fn start_secured(config: Config, key: &str, server: SocketAddr) -> Self {
        let key = hex::decode(key).expect("a key in hexadecimal");
        let key = Psk::new(&key).expect("a key of a good length");
        let session = ClientConfig {
            cid: CidOffer::Length(8),
            ..ClientConfig::new(config.endpoint.as_str().as_bytes().to_vec(), key)
        };
        let client = Client::new(session, rand::random());
        Self::switch_on(config, Some(Box::new(client)), server)
    }

    fn switch_on(config: Config, session: Option<Box<Client>>, server: SocketAddr) -> Self {
        Self::driven(config, move |device, seat| {
            let running = Running {
                device,
                session,
                socket: connected(server),
                server,
                seat,
            };
            running.run();
        })
    }

    /// Switches a device on that `drive` drives, until [`Seat::work`] says that it is over.
    pub fn driven(config: Config, drive: impl FnOnce(Device, Seat) + Send + 'static) -> Self {
        let endpoint = config.endpoint.to_string();
        let (jobs, taken) = sync_channel(1);
        let shared = Arc::<Shared>::default();
        let device = Device::new(config, rand::random());
        let seat = Seat {
            jobs: taken,
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::spawn(move || drive(device, seat));
        Self {
            endpoint,
            jobs: Some(jobs),
            shared,
            thread: Some(thread),
        }
    }

    /// Does something with the device.
    pub fn with<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Device, Instant) -> T + Send + 'static,
    ) -> T {
        let (done, result) = sync_channel(1);
        let job: Job = Box::new(move |device, now| {
            // The test waits for it.
            let _heard = done.send(job(device, now));
        });
        let jobs = self.jobs.as_ref().expect("it is switched on");
        jobs.send(job).expect("the thread takes jobs");
        result.recv().expect("the thread does its jobs")
    }

    /// From now on it has another address, as behind another bearer.
    pub fn move_away(&self) {
        self.shared.moves.store(true, Ordering::SeqCst);
    }

    /// Changes a value as the device itself.
    pub fn set(&self, path: &str, value: Value) {
        let path: Path = path.parse().expect("a path");
        self.with(move |device, now| device.set_value(now, path, value))
            .expect("the device has this resource");
    }

    /// Waits for the `count`-th event that is wanted.
    pub fn wait_for(&self, what: &str, count: usize, wanted: impl Fn(&Event) -> bool) {
        self.wait_for_within(SOON, what, count, wanted);
    }

    /// As [`LiveDevice::wait_for`], for as long as `limit`.
    pub fn wait_for_within(
        &self,
        limit: Duration,
        what: &str,
        count: usize,
        wanted: impl Fn(&Event) -> bool,
    ) {
        until_some(what, limit, || {
            let events = self.shared.events();
            if events.iter().filter(|event| wanted(event)).count() >= count {
                Ok(())
            } else {
                Err(events.clone())
            }
        });
    }

    /// How often something happened.
    pub fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        let events = self.shared.events();
        events.iter().filter(|event| wanted(event)).count()
    }

    /// What `pick` takes out of all that happened, oldest first.
    pub fn events<T>(&self, pick: impl Fn(&Event) -> Option<T>) -> Vec<T> {
        self.shared.events().iter().filter_map(pick).collect()
    }

    /// Sessions that were made.
    pub fn handshakes(&self) -> usize {
        self.shared.handshakes.load(Ordering::SeqCst)
    }
}

impl Drop for LiveDevice {
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

fn connected(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    socket.connect(server).expect("loopback can be reached");
    socket
        .set_read_timeout(Some(TURN))
        .expect("a wait that is not zero");
    socket
}

/// Where whoever drives a device hears what the test wants, and tells it what happened.
#[derive(Debug)]
pub struct Seat {
    jobs: Receiver<Job>,
    shared: Arc<Shared>,
}

impl Seat {
    /// Tells the device the time of day.
    pub fn set_wall_clock(&self, device: &mut Device) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = since_1970.expect("it is later than 1970").as_secs();
        device.set_wall_clock(Instant::now(), seconds.cast_signed());
    }

    /// Whether the device is to have another address from now on; said once.
    pub fn moves(&self) -> bool {
        self.shared.moves.swap(false, Ordering::SeqCst)
    }

    /// Something happened.
    pub fn tell(&self, event: Event) {
        self.shared.events().push(event);
    }

    /// Does what the test wants of the device; false if that is nothing any more.
    #[must_use]
    pub fn work(&self, device: &mut Device, now: Instant) -> bool {
        loop {
            match self.jobs.try_recv() {
                Ok(job) => job(device, now),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }
}

/// What the thread works with.
struct Running {
    device: Device,
    session: Option<Box<Client>>,
    socket: UdpSocket,
    server: SocketAddr,
    seat: Seat,
}

impl Running {
    /// Serves until nobody has jobs any more.
    fn run(mut self) {
        self.seat.set_wall_clock(&mut self.device);
        self.connect(Instant::now());
        let mut datagram = [0; 4096];
        loop {
            // Before anything that was asked for after the move is sent.
            if self.seat.moves() {
                self.socket = connected(self.server);
            }
            self.settle();
            // A port that is closed is told as an error, as is the end of the wait.
            if let Ok(length) = self.socket.recv(&mut datagram) {
                self.arrived(&mut datagram[..length]);
            }
            let now = Instant::now();
            if let Some(session) = &mut self.session {
                session.handle_timeout(now);
            }
            self.device.handle_timeout(now);
            if !self.seat.work(&mut self.device, now) {
                return;
            }
        }
    }

    fn connect(&mut self, now: Instant) {
        match &mut self.session {
            Some(session) => session.start(now),
            None => self.device.start(now),
        }
    }

    fn arrived(&mut self, datagram: &mut [u8]) {
        let now = Instant::now();
        match &mut self.session {
            Some(session) => session.handle_datagram(now, datagram),
            None => self.device.handle_datagram(now, datagram),
        }
    }

    fn settle(&mut self) {
        loop {
            if let Some(output) = self.device.poll_output() {
                self.device_output(output);
            } else if let Some(output) = self.session.as_mut().and_then(|it| it.poll_output()) {
                self.session_output(output);
            } else {
                return;
            }
        }
    }

    fn device_output(&mut self, output: Output) {
        match output {
            Output::Transmit(datagram) => match &mut self.session {
                // Without a session it is as good as lost, and repeated.
                Some(session) => {
                    let _lost = session.send(&datagram);
                }
                None => self.transmit(&datagram),
            },
            Output::Event(event) => {
                self.look_at(&event);
                self.seat.tell(event);
            }
            Output::Send(_) | Output::Pull(_) => {
                unreachable!("it is on no stream, and pulls nothing")
            }
        }
    }

    fn look_at(&mut self, event: &Event) {
        let now = Instant::now();
        match event {
            Event::Booted => self.connect(now),
            // The server may have lost the session, and then never tells.
            Event::RegistrationFailed { reason, .. } | Event::UpdateFailed { reason, .. }
                if *reason == RegistrationFailure::NoAnswer && self.session.is_some() =>
            {
                self.connect(now);
            }
            _ => {}
        }
    }

    fn session_output(&mut self, output: ClientOutput) {
        let now = Instant::now();
        match output {
            ClientOutput::Transmit(datagram) => self.transmit(&datagram),
            ClientOutput::Connected { .. } => {
                self.seat.shared.handshakes.fetch_add(1, Ordering::SeqCst);
                self.device.start(now);
            }
            ClientOutput::Plaintext(datagram) => self.device.handle_datagram(now, &datagram),
            ClientOutput::Closed(_) | ClientOutput::Failed(_) => self.connect(now),
        }
    }

    fn transmit(&self, datagram: &[u8]) {
        // What is lost is repeated.
        let _lost = self.socket.send(datagram);
    }
}
