//! Bootstraps of devices that do what the library's device does not.

use std::time::Instant;

use coap::{Code, Message, MessageId, Token, Type, number};
use device_state::Timestamp;
use lwm2m::Path;
use lwm2m_server::Now;
use lwm2m_server::bootstrap::{
    BootstrapConfig, BootstrapEngine, BootstrapOutcome, BootstrapOutput, BootstrapPlan,
};

use super::pair::{engine, origin};
use super::plans::{plan, psk};

const DEVICE: u8 = 1;

/// A device that has come to be bootstrapped.
struct ByHand {
    now: Now,
    engine: BootstrapEngine<u8>,
    plan: BootstrapPlan,
    /// Requests of the engine.
    requests: Vec<Message>,
    outcome: Option<BootstrapOutcome>,
}

impl ByHand {
    fn started(plan: BootstrapPlan) -> Self {
        let now = Now {
            instant: Instant::now(),
            wall: Timestamp(0),
        };
        let mut device = Self {
            now,
            engine: engine(BootstrapConfig::default()),
            plan,
            requests: Vec::new(),
            outcome: None,
        };
        let mut request = Message::new(Type::Confirmable, Code::POST, MessageId(1));
        request.token = Token::new(&[1]).unwrap();
        request.options.push(number::URI_PATH, b"bs");
        request.options.push(number::URI_QUERY, b"ep=device-1");
        device.say(&request);
        device
    }

    fn say(&mut self, message: &Message) {
        let (now, datagram) = (self.now, message.to_datagram());
        self.engine
            .handle_datagram(now, DEVICE, &origin(b"device-1"), &datagram);
        while let Some(output) = self.engine.poll_output() {
            match output {
                BootstrapOutput::Transmit { datagram, .. } => {
                    let message = coap::decode(&datagram).unwrap();
                    self.requests
                        .extend(Some(message).filter(|message| message.code.is_request()));
                }
                BootstrapOutput::Prepare { id, .. } => {
                    let plan = self.plan.clone();
                    self.engine.handle_prepared(now, id, Ok(plan));
                }
                BootstrapOutput::Ended { outcome, .. } => self.outcome = Some(outcome),
                _ => {}
            }
        }
    }

    /// Answers the last request.
    fn answer(&mut self, code: Code, payload: &str) {
        let request = self.requests.last().unwrap();
        let mut answer = Message::new(Type::Acknowledgement, code, request.id);
        answer.token = request.token;
        if !payload.is_empty() {
            answer.options.push_uint(number::CONTENT_FORMAT, 40);
            answer.payload = payload.as_bytes().to_vec();
        }
        self.say(&answer);
    }

    /// Does what it is asked until it is asked to finish.
    fn obey(&mut self, discovered: &str) {
        loop {
            match self.requests.last().unwrap().code {
                Code::GET => self.answer(Code::CONTENT_2_05, discovered),
                Code::DELETE => self.answer(Code::DELETED_2_02, ""),
                Code::PUT => self.answer(Code::CHANGED_2_04, ""),
                _ => return,
            }
        }
    }
}

/// Method and path.
fn told(request: &Message) -> (Code, String) {
    let segments = request
        .options
        .iter()
        .filter(|(number, _)| *number == number::URI_PATH);
    let path = segments.map(|(_, segment)| format!("/{}", String::from_utf8_lossy(segment)));
    (request.code, path.collect())
}

#[test]
fn a_bootstrap_carries_no_alternate_path() {
    let mut device = ByHand::started(plan(&[psk()]));
    device.obey("</lwm2m>;rt=\"oma.lwm2m\";lwm2m=1.1,</lwm2m/0/0>,</lwm2m/3/0>");
    device.answer(Code::CHANGED_2_04, "");
    assert_eq!(device.outcome, Some(BootstrapOutcome::Finished));
    let told: Vec<(Code, String)> = device.requests.iter().map(told).collect();
    let expected = [
        (Code::GET, ""),
        (Code::DELETE, "/0"),
        (Code::DELETE, "/1"),
        (Code::PUT, "/0/1"),
        (Code::PUT, "/1/0"),
        (Code::POST, "/bs"),
    ];
    let expected = expected.map(|(code, path)| (code, path.to_owned()));
    assert_eq!(told, expected);
}

/// What a device keeps from a Delete of everything (Core 1.2 §6.1.7.6) is not written over.
#[test]
fn a_delete_of_everything_goes_without_a_path_and_leaves_the_bootstrap_account() {
    let all = BootstrapPlan {
        deletes: vec![Path::Root],
        ..plan(&[psk()])
    };
    // The account at the bootstrap server lies where the plan would write.
    let mut device = ByHand::started(all);
    device.obey("</>;lwm2m=1.1,</0/1>,</0/0>;ssid=1,</1/0>;ssid=1,</3/0>");
    let told: Vec<(Code, String)> = device.requests.iter().map(told).collect();
    let expected = [
        (Code::GET, ""),
        (Code::DELETE, ""),
        (Code::PUT, "/0/0"),
        (Code::PUT, "/1/0"),
        (Code::POST, "/bs"),
    ];
    let expected = expected.map(|(code, path)| (code, path.to_owned()));
    assert_eq!(told, expected);
}

#[test]
fn a_finish_may_be_answered_separately_and_the_session_may_end_with_it() {
    let mut device = ByHand::started(plan(&[psk()]));
    device.obey("</>;lwm2m=1.1,</0/0>");
    let finish = device.requests.last().unwrap().clone();
    let acknowledgement = Message::new(Type::Acknowledgement, Code::EMPTY, finish.id);
    device.say(&acknowledgement);
    assert_eq!(device.outcome, None);
    let mut separate = Message::new(Type::Confirmable, Code::CHANGED_2_04, MessageId(77));
    separate.token = finish.token;
    device.say(&separate);
    device.engine.forget_peer(device.now, DEVICE);
    assert_eq!(device.outcome, Some(BootstrapOutcome::Finished));
    assert_eq!(device.engine.bootstrap_count(), 0);
}
