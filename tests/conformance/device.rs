//! The device of a case: `lwm2m_client::Device` on channels, which pulls packages.

use std::thread::JoinHandle;
use std::time::Instant;

use lwm2m_client::{Config, Device, Event, Output, PullFailure, PullId};
use oscore::Carried;
use tests::{LiveDevice, Seat};

use crate::channel::Channel;
use crate::packages;

/// Pulls under way.
type Pulls = Vec<(PullId, JoinHandle<Result<Vec<u8>, PullFailure>>)>;

/// Switches a device on, with a channel to each server in the order of their indices.
pub(crate) fn start(config: Config, channels: Vec<Channel>) -> LiveDevice {
    LiveDevice::driven(config, move |device, seat| run(device, channels, &seat))
}

/// Serves until nobody has jobs any more.
fn run(mut device: Device, mut channels: Vec<Channel>, seat: &Seat) {
    seat.set_wall_clock(&mut device);
    begin(&mut device, &channels);
    let mut pulls = Pulls::new();
    loop {
        // Before anything that was asked for after the move is sent.
        if seat.moves() {
            channels.iter_mut().for_each(Channel::move_away);
        }
        settle(&mut device, &mut channels, seat, &mut pulls);
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
        if !seat.work(&mut device, now) {
            return;
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

fn settle(device: &mut Device, channels: &mut [Channel], seat: &Seat, pulls: &mut Pulls) {
    while let Some((server, output)) = device.poll_tagged() {
        match output {
            Output::Transmit(datagram) => channels[server].send(Carried::Datagram(datagram)),
            Output::Send(message) => channels[server].send(Carried::Message(message)),
            Output::Event(event) => {
                if event == Event::Booted {
                    begin(device, channels);
                }
                seat.tell(event);
            }
            Output::Pull(pull) => {
                let get = move || packages::get(&pull.uri, pull.max_bytes);
                pulls.push((pull.id, std::thread::spawn(get)));
            }
        }
    }
}
