//! The device of a case: `lwm2m_client::Device` on a channel, in a thread of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lwm2m::{Path, Value};
use lwm2m_client::{Config, Device, Event, Output, PullFailure, PullId};
use oscore::Carried;
use tests::until_some;

use crate::channel::Channel;
use crate::packages;
use crate::stage::SOON;

/// Pulls under way.
type Pulls = Vec<(PullId, JoinHandle<Result<Vec<u8>, PullFailure>>)>;

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
    /// Switches a device on, with a channel to each server in the order of their indices.
    pub(crate) fn start(config: Config, channels: Vec<Channel>) -> Self {
        let endpoint = config.endpoint.to_string();
        let (jobs, taken) = sync_channel(1);
        let events = Arc::new(Mutex::new(Vec::new()));
        let (seen, seed) = (Arc::clone(&events), rand::random());
        let moves = Arc::new(AtomicBool::new(false));
        let moved = Arc::clone(&moves);
        let device = Device::new(config, seed);
        let thread = std::thread::spawn(move || run(device, channels, &taken, (&moved, &seen)));
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
    mut channels: Vec<Channel>,
    jobs: &Receiver<Job>,
    (moves, events): (&AtomicBool, &Mutex<Vec<Event>>),
) {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    device.set_wall_clock(Instant::now(), since_1970.as_secs() as i64);
    begin(&mut device, &channels);
    let mut pulls = Pulls::new();
    loop {
        // Before anything that was asked for after the move is sent.
        if moves.swap(false, Ordering::SeqCst) {
            channels.iter_mut().for_each(Channel::move_away);
        }
        settle(&mut device, &mut channels, events, &mut pulls);
        for (index, channel) in channels.iter_mut().enumerate() {
            let Some(message) = channel.receive() else {
                continue;
            };
            let mut towards = device.towards(index).unwrap();
            match message {
                Carried::Datagram(datagram) => towards.handle_datagram(Instant::now(), &datagram),
                Carried::Message(message) => towards.handle_message(Instant::now(), message),
            }
        }
        let now = Instant::now();
        device.handle_timeout(now);
        for (id, pull) in pulls.extract_if(.., |(_, pull)| pull.is_finished()) {
            let package = pull.join().unwrap();
            device.handle_package(now, id, package.as_deref().map_err(|failure| *failure));
        }
        loop {
            match jobs.try_recv() {
                Ok(job) => job(&mut device, now),
                Err(std::sync::mpsc::TryRecvError::Empty) => break,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
            }
        }
    }
}

/// Registers at each server.
fn begin(device: &mut Device, channels: &[Channel]) {
    for (index, channel) in channels.iter().enumerate() {
        let mut towards = device.towards(index).unwrap();
        match channel.capabilities() {
            None => towards.start(Instant::now()),
            Some(capabilities) => towards.start_on_stream(Instant::now(), capabilities),
        }
    }
}

fn settle(
    device: &mut Device,
    channels: &mut [Channel],
    events: &Mutex<Vec<Event>>,
    pulls: &mut Pulls,
) {
    while let Some((server, output)) = device.poll_tagged() {
        match output {
            Output::Transmit(datagram) => channels[server].send(Carried::Datagram(datagram)),
            Output::Send(message) => channels[server].send(Carried::Message(message)),
            Output::Event(event) => {
                if event == Event::Booted {
                    begin(device, channels);
                }
                events.lock().unwrap().push(event);
            }
            Output::Pull(pull) => {
                let get = move || packages::get(&pull.uri, pull.max_bytes);
                pulls.push((pull.id, std::thread::spawn(get)));
            }
        }
    }
}
