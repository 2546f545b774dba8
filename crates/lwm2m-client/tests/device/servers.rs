//! A device with two servers, each with a network that loses nothing and takes no time.

use std::time::{Duration, Instant};

use coap::{Code, Endpoint, Event as CoapEvent, ExchangeId, Request, Response, Token};
use lwm2m::{Lifetime, LwM2mVersion, Path, Value};
use lwm2m_client::{
    Config, Device, Event, OptionalObject, Output, SendError, ServerAccount, Towards,
};

use crate::pair::{accept, discover, get, request, text, with_version, words, write_attributes};

const FIRST: usize = 0;
const SECOND: usize = 1;
const BATTERY: Path = Path::Resource(3, 0, 9);

struct Two {
    now: Instant,
    device: Device,
    servers: [Endpoint<u8>; 2],
    /// What the device reported, with the index of the server.
    events: Vec<(usize, Event)>,
    /// What the device asked each server for.
    requests: [Vec<Request>; 2],
    notifications: [Vec<Response>; 2],
    concluded: Vec<(usize, ExchangeId, Response)>,
}

fn config() -> Config {
    Config {
        lifetime: Lifetime::from_secs(1000),
        more_servers: vec![ServerAccount {
            short_server_id: 2,
            lifetime: Lifetime::from_secs(2000),
        }],
        ..with_version(LwM2mVersion::V1_2)
    }
}

impl Two {
    /// A device that has not started.
    fn new(config: Config) -> Self {
        let server = |seed| Endpoint::new(coap::Config::default(), seed);
        Self {
            now: Instant::now(),
            device: Device::new(config, 11),
            servers: [server(21), server(22)],
            events: Vec::new(),
            requests: Default::default(),
            notifications: Default::default(),
            concluded: Vec::new(),
        }
    }

    fn registered(config: Config) -> Self {
        let mut two = Self::new(config);
        two.start(FIRST);
        two.start(SECOND);
        two.forget();
        two
    }

    fn towards(&mut self, server: usize) -> Towards<'_> {
        self.device.towards(server).unwrap()
    }

    fn start(&mut self, server: usize) {
        let now = self.now;
        self.towards(server).start(now);
        self.settle();
        assert!(self.towards(server).is_registered());
    }

    /// Forgets what has been heard of.
    fn forget(&mut self) {
        self.events.clear();
        self.requests = Default::default();
        self.notifications = Default::default();
    }

    fn set(&mut self, path: Path, value: Value) {
        self.device.set_value(self.now, path, value).unwrap();
        self.settle();
    }

    fn ask(&mut self, server: usize, request: Request) -> Response {
        let exchange = self.servers[server].send_request(self.now, 0, request);
        self.answer_to(server, exchange.unwrap())
    }

    fn answer_to(&mut self, server: usize, exchange: ExchangeId) -> Response {
        self.settle();
        let done = |(of, id, _): &(usize, ExchangeId, Response)| (*of, *id) == (server, exchange);
        let found = self.concluded.iter().position(done).unwrap();
        self.concluded.swap_remove(found).2
    }

    fn observe(&mut self, server: usize, path: &str) {
        let observed = self.ask(
            server,
            Request {
                observe: Some(0),
                ..get(path)
            },
        );
        assert!(observed.observe.is_some());
    }

    fn observation_counts(&mut self) -> [usize; 2] {
        [FIRST, SECOND].map(|server| self.towards(server).observation_count())
    }

    fn notified(&self, server: usize) -> Vec<String> {
        self.notifications[server].iter().map(words).collect()
    }

    /// The paths that the device asked a server for.
    fn asked(&self, server: usize) -> Vec<String> {
        let shown = |request: &Request| format!("{:?} {}", request.method, request.path.join("/"));
        self.requests[server].iter().map(shown).collect()
    }

    /// Lets time pass.
    fn drive(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let servers = self.servers.iter().filter_map(Endpoint::poll_timeout);
            let next = servers.chain(self.device.poll_timeout()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            self.device.handle_timeout(self.now);
            for server in &mut self.servers {
                server.handle_timeout(self.now);
            }
            self.settle();
        }
        self.now = end;
    }

    /// Carries all outputs.
    fn settle(&mut self) {
        loop {
            if let Some((server, output)) = self.device.poll_tagged() {
                match output {
                    Output::Transmit(datagram) => {
                        self.servers[server].handle_datagram(self.now, 0, &datagram);
                    }
                    Output::Event(event) => self.events.push((server, event)),
                    other => panic!("{other:?}"),
                }
            } else if !self.settle_server(FIRST) && !self.settle_server(SECOND) {
                return;
            }
        }
    }

    /// Whether there was something.
    fn settle_server(&mut self, server: usize) -> bool {
        let Some(output) = self.servers[server].poll_output() else {
            return false;
        };
        let now = self.now;
        match output {
            coap::Output::Transmit { datagram, .. } => {
                self.towards(server).handle_datagram(now, &datagram);
            }
            coap::Output::Event(CoapEvent::Request {
                exchange, request, ..
            }) => {
                self.servers[server].respond(now, exchange, accept(&request));
                self.requests[server].push(request);
            }
            coap::Output::Event(CoapEvent::Response {
                exchange, response, ..
            }) => self.concluded.push((server, exchange, response)),
            coap::Output::Event(CoapEvent::Notification { response, .. }) => {
                self.notifications[server].push(response);
            }
            _ => {}
        }
        true
    }
}

#[test]
fn a_device_registers_at_each_of_its_servers() {
    let mut two = Two::new(config());
    two.start(FIRST);
    two.start(SECOND);
    let lifetimes = [(FIRST, "lt=1000"), (SECOND, "lt=2000")];
    for (server, lifetime) in lifetimes {
        let [register] = two.requests[server].as_slice() else {
            panic!("{:?}", two.requests[server]);
        };
        assert!(register.query.contains(&lifetime.to_owned()));
        let links = String::from_utf8_lossy(&register.payload).into_owned();
        assert!(links.contains("</1/0>,</1/1>"), "{links}");
    }
    for server in [FIRST, SECOND] {
        assert_eq!(words(&two.ask(server, get("/1/0/0"))), "1");
        assert_eq!(words(&two.ask(server, get("/1/1/0"))), "2");
    }
    assert!(two.device.towards(2).is_none());
}

#[test]
fn a_server_that_knows_no_registration_is_not_heard() {
    let mut two = Two::new(config());
    two.start(FIRST);
    let asked = two.servers[SECOND].send_request(two.now, 0, get("/3/0/0"));
    asked.unwrap();
    two.settle();
    assert_eq!(two.concluded, []);
    two.ask(FIRST, get("/3/0/0"));
}

#[test]
fn what_one_server_writes_the_other_is_told_of() {
    let mut two = Two::registered(config());
    two.observe(FIRST, "/3/0/14");
    two.ask(SECOND, text(Code::PUT, "/3/0/14", "+02:00"));
    assert_eq!(two.notified(FIRST), ["+02:00"]);
    assert_eq!(two.notifications[SECOND], []);
}

#[test]
fn what_one_server_writes_behind_the_gateway_the_other_is_told_of() {
    let mut config = config();
    config.profile.optional = vec![OptionalObject::Gateway];
    let mut two = Two::registered(config);
    two.observe(FIRST, "/dev0/3/0/14");
    two.observe(SECOND, "/dev1/3/0/14");
    two.ask(SECOND, text(Code::PUT, "/dev0/3/0/14", "+02:00"));
    assert_eq!(two.notified(FIRST), ["+02:00"]);
    assert_eq!(two.notifications[SECOND], []);
}

#[test]
fn each_server_has_observations_of_its_own() {
    let mut two = Two::registered(config());
    two.observe(FIRST, "/3/0/9");
    two.observe(SECOND, "/3/0/9");
    two.set(BATTERY, Value::Integer(41));
    assert_eq!(
        [two.notified(FIRST), two.notified(SECOND)],
        [["41"], ["41"]]
    );
    let token = two.servers[SECOND].observations(0)[0];
    let cancelled = two.servers[SECOND].cancel_observation(two.now, 0, token);
    two.answer_to(SECOND, cancelled.unwrap());
    assert_eq!(two.observation_counts(), [1, 0]);
    two.set(BATTERY, Value::Integer(40));
    assert_eq!(two.notified(FIRST), ["41", "40"]);
    assert_eq!(two.notified(SECOND), ["41"]);
}

#[test]
fn a_server_cannot_end_an_observation_of_another() {
    let mut two = Two::registered(config());
    two.observe(FIRST, "/3/0/9");
    let token: Token = two.servers[FIRST].observations(0)[0];
    two.ask(
        SECOND,
        Request {
            observe: Some(1),
            token: Some(token),
            ..get("/3/0/9")
        },
    );
    assert_eq!(two.observation_counts(), [1, 0]);
}

#[test]
fn attributes_of_one_server_do_not_leak_to_the_other() {
    let mut two = Two::registered(config());
    two.ask(FIRST, write_attributes("/3/0/9", &["pmin=1", "pmax=10"]));
    let attributes = |two: &mut Two, server| words(&two.ask(server, discover("/3/0/9", &[])));
    assert_eq!(attributes(&mut two, FIRST), "</3/0/9>;pmin=1;pmax=10");
    assert_eq!(attributes(&mut two, SECOND), "</3/0/9>");
    two.ask(SECOND, write_attributes("/3/0/9", &["pmin=20"]));
    two.observe(FIRST, "/3/0/9");
    two.observe(SECOND, "/3/0/9");
    two.drive(Duration::from_secs(15));
    assert_eq!(two.notified(FIRST), ["100"], "after its pmax");
    two.set(BATTERY, Value::Integer(41));
    assert_eq!(two.notified(FIRST), ["100", "41"]);
    assert_eq!(two.notifications[SECOND], [], "before its pmin");
    two.drive(Duration::from_secs(10));
    assert_eq!(two.notified(SECOND), ["41"]);
    assert_eq!(attributes(&mut two, FIRST), "</3/0/9>;pmin=1;pmax=10");
}

#[test]
fn default_periods_are_those_of_the_server() {
    let mut two = Two::registered(config());
    two.observe(FIRST, "/3/0/9");
    two.observe(SECOND, "/3/0/9");
    // Written by the first server, for the second.
    two.ask(FIRST, text(Code::PUT, "/1/1/3", "10"));
    two.drive(Duration::from_secs(15));
    assert_eq!(two.notifications[FIRST], []);
    assert_eq!(two.notified(SECOND), ["100"]);
}

#[test]
fn a_lifetime_is_that_of_one_server() {
    let mut two = Two::registered(config());
    two.ask(FIRST, text(Code::PUT, "/1/1/1", "300"));
    assert_eq!(two.requests[FIRST], []);
    let [update] = two.requests[SECOND].as_slice() else {
        panic!("{:?}", two.requests[SECOND]);
    };
    assert_eq!(update.query, ["lt=300"]);
}

#[test]
fn every_server_is_told_of_a_new_instance() {
    let mut two = Two::registered(config());
    let created = two.ask(SECOND, request(Code::POST, "/3303"));
    assert_eq!(created.code, Code::CREATED_2_01);
    for server in [FIRST, SECOND] {
        assert_eq!(two.asked(server), ["0.02 rd/a1"]);
        let links = String::from_utf8_lossy(&two.requests[server][0].payload).into_owned();
        assert!(links.contains("</3303/1>"), "{links}");
    }
    two.ask(FIRST, write_attributes("/3303/1", &["pmin=5"]));
    two.ask(SECOND, request(Code::DELETE, "/3303/1"));
    two.ask(SECOND, request(Code::POST, "/3303"));
    let attributes = words(&two.ask(FIRST, discover("/3303/1", &[])));
    assert!(!attributes.contains("pmin"), "{attributes}");
}

#[test]
fn a_server_that_is_disabled_leaves_the_other_alone() {
    let mut two = Two::registered(config());
    two.observe(FIRST, "/3/0/9");
    two.observe(SECOND, "/3/0/9");
    two.ask(FIRST, text(Code::PUT, "/1/1/5", "60"));
    two.ask(FIRST, request(Code::POST, "/1/1/4"));
    assert_eq!(two.asked(FIRST), [""; 0]);
    assert_eq!(two.asked(SECOND), ["0.04 rd/a1"]);
    assert_eq!(two.observation_counts(), [1, 0]);
    assert!(two.device.is_registered());
    assert!(!two.towards(SECOND).is_registered());
    two.drive(Duration::from_secs(61));
    assert_eq!(two.asked(SECOND), ["0.04 rd/a1", "0.02 rd"]);
    assert!(two.towards(SECOND).is_registered());
}

#[test]
fn a_reboot_ends_every_session() {
    let mut two = Two::registered(config());
    two.observe(FIRST, "/3/0/9");
    two.ask(FIRST, write_attributes("/3/0/9", &["pmin=5"]));
    two.observe(SECOND, "/3/0/9");
    two.ask(SECOND, request(Code::POST, "/3/0/4"));
    two.drive(Duration::from_secs(10));
    let booted = |(_, event): &&(usize, Event)| *event == Event::Booted;
    assert_eq!(two.events.iter().filter(booted).count(), 1);
    assert_eq!(two.observation_counts(), [0, 0]);
    assert!(!two.device.is_registered());
    two.start(FIRST);
    two.start(SECOND);
    assert_eq!(words(&two.ask(FIRST, discover("/3/0/9", &[]))), "</3/0/9>");
}

#[test]
fn send_is_muted_by_each_server_for_itself() {
    let mut two = Two::registered(config());
    two.ask(SECOND, text(Code::PUT, "/1/1/23", "1"));
    let now = two.now;
    let muted = two.towards(SECOND).send(now, &[BATTERY]);
    assert_eq!(muted, Err(SendError::Muted));
    two.towards(FIRST).send(now, &[BATTERY]).unwrap();
    two.settle();
    assert!(two.events.contains(&(FIRST, Event::Sent)));
    assert_eq!(two.asked(FIRST), ["0.02 dp"]);
}

#[test]
fn who_creates_an_instance_owns_it() {
    let mut config = config();
    config.profile.optional = vec![OptionalObject::AccessControl];
    let mut two = Two::registered(config);
    two.ask(SECOND, request(Code::POST, "/3303"));
    assert_eq!(words(&two.ask(FIRST, get("/2/2/3"))), "2");
    let written = two.ask(FIRST, request(Code::DELETE, "/3303/1"));
    assert_eq!(written.code, Code::UNAUTHORIZED_4_01);
    let deleted = two.ask(SECOND, request(Code::DELETE, "/3303/1"));
    assert_eq!(deleted.code, Code::DELETED_2_02);
}
