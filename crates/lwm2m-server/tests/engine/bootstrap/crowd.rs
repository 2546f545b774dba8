//! A fleet that comes all at once to be bootstrapped, as when its management servers are given up for lost.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use device_state::Timestamp;
use lwm2m::EndpointName;
use lwm2m_client::bootstrap::{
    BootstrapClient, BootstrapConfig as ClientConfig, BootstrapEvent,
    BootstrapOutput as ClientOutput,
};
use lwm2m_server::bootstrap::{
    BootstrapConfig, BootstrapEngine, BootstrapOutcome, BootstrapOutput, BootstrapPlan,
};
use lwm2m_server::{Now, Origin, Principal};
use netsim::{Conditions, Network};

use super::pair::{DELAY, origin};
use super::plans::{plan, psk};

const DEVICES: u16 = 5_000;
/// Bootstraps at a time.
const ROOM: usize = 200;
const SERVER: u16 = u16::MAX;

#[test]
fn a_crowd_is_bootstrapped_at_the_pace_that_there_is_room_for() {
    let mut crowd = Crowd::new();
    crowd.run();
    assert_eq!(crowd.finished, u32::from(DEVICES));
    assert_eq!(crowd.ended, crowd.finished);
    // The answer to the request and six steps, each there and back.
    let one = DELAY * 2 * 7;
    let ideal = one * (u32::from(DEVICES) / ROOM as u32);
    let elapsed = crowd.now - crowd.began;
    assert!(elapsed < ideal * 4, "{elapsed:?}, at best {ideal:?}");
    assert!(
        crowd.requests < 4 * u32::from(DEVICES),
        "{} requests",
        crowd.requests
    );
}

struct Crowd {
    began: Instant,
    now: Instant,
    engine: BootstrapEngine<u16>,
    devices: Vec<BootstrapClient>,
    /// When refused devices come again.
    appointments: BinaryHeap<Reverse<(Instant, u16)>>,
    network: Network<u16>,
    plan: BootstrapPlan,
    finished: u32,
    ended: u32,
    requests: u32,
}

impl Crowd {
    fn new() -> Self {
        let now = Instant::now();
        let device = |number: u16| {
            let endpoint = EndpointName::new(&format!("device-{number}")).unwrap();
            let config = ClientConfig::new(endpoint, "coap://bs.example.com");
            BootstrapClient::new(config, number.into())
        };
        let appointment =
            |number: u16| Reverse((now + Duration::from_micros(number.into()), number));
        Self {
            began: now,
            now,
            engine: BootstrapEngine::new(
                BootstrapConfig {
                    max_bootstraps: ROOM,
                    ..BootstrapConfig::default()
                },
                [3; 32],
            ),
            devices: (0..DEVICES).map(device).collect(),
            appointments: (0..DEVICES).map(appointment).collect(),
            network: Network::new(
                1,
                Conditions {
                    delay: DELAY,
                    ..Conditions::perfect()
                },
            ),
            plan: plan(&[psk()]),
            finished: 0,
            ended: 0,
            requests: 0,
        }
    }

    fn run(&mut self) {
        loop {
            let appointment = self.appointments.peek().map(|Reverse((at, _))| *at);
            let next = [appointment, self.network.next_event()];
            // Nothing is lost, so no timer of the devices matters.
            let Some(next) = next.into_iter().flatten().min() else {
                return;
            };
            self.now = next;
            while let Some(number) = self.due() {
                self.requests += 1;
                self.devices[usize::from(number)].start(next);
                self.settle(number);
            }
            while let Some(delivery) = self.network.poll(next) {
                self.deliver(delivery.from, delivery.to, &delivery.datagram);
            }
        }
    }

    fn due(&mut self) -> Option<u16> {
        let Reverse((at, number)) = *self.appointments.peek()?;
        (at <= self.now).then(|| {
            self.appointments.pop();
            number
        })
    }

    fn deliver(&mut self, from: u16, to: u16, datagram: &[u8]) {
        if to != SERVER {
            self.devices[usize::from(to)].handle_datagram(self.now, datagram);
            return self.settle(to);
        }
        let origin = Origin {
            principal: std::sync::Arc::new(Principal::anyone()),
            ..origin(b"")
        };
        let now = Now {
            instant: self.now,
            wall: Timestamp(0),
        };
        self.engine.handle_datagram(now, from, &origin, datagram);
        while let Some(output) = self.engine.poll_output() {
            match output {
                BootstrapOutput::Transmit { peer, datagram } => {
                    self.network.send(self.now, SERVER, peer, datagram);
                }
                BootstrapOutput::Prepare { id, .. } => {
                    self.engine.handle_prepared(now, id, Ok(self.plan.clone()));
                }
                BootstrapOutput::Ended { outcome, .. } => {
                    assert_eq!(outcome, BootstrapOutcome::Finished);
                    self.ended += 1;
                }
                _ => {}
            }
        }
    }

    fn settle(&mut self, number: u16) {
        while let Some(output) = self.devices[usize::from(number)].poll_output() {
            match output {
                ClientOutput::Transmit(datagram) => {
                    self.network.send(self.now, number, SERVER, datagram);
                }
                ClientOutput::Event(BootstrapEvent::Finished { .. }) => self.finished += 1,
                ClientOutput::Event(BootstrapEvent::Failed { retry_after, .. }) => {
                    let wait = retry_after.expect("it is only asked to wait");
                    self.appointments.push(Reverse((self.now + wait, number)));
                }
                ClientOutput::Send(_) | ClientOutput::Event(_) => {}
            }
        }
    }
}
