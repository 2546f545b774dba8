//! A bootstrap over a stream (RFC 8323).

use std::time::Instant;

use coap::reliable::Capabilities;
use device_state::{Timestamp, Transport};
use lwm2m_client::bootstrap::{BootstrapClient, BootstrapEvent, BootstrapOutput as ClientOutput};
use lwm2m_server::bootstrap::{BootstrapConfig, BootstrapOutcome};
use lwm2m_server::{Now, Origin};

use super::pair::{DEVICE, Output, client_config, engine, origin};
use super::plans::{every_account, plan};

#[test]
fn a_device_on_a_stream_gets_its_accounts() {
    let instant = Instant::now();
    let now = Now {
        instant,
        wall: Timestamp(0),
    };
    let origin = Origin {
        transport: Transport::Tls,
        ..origin(b"device-1")
    };
    let mut engine = engine(BootstrapConfig::default());
    let mut client = BootstrapClient::new(client_config(), 1);
    assert!(engine.open_stream(now, DEVICE, Capabilities::default()));
    client.start_on_stream(instant, Capabilities::default());
    let (mut outcome, mut accounts) = (None, Vec::new());
    loop {
        if let Some(output) = client.poll_output() {
            match output {
                ClientOutput::Send(message) => engine.handle_message(now, DEVICE, &origin, message),
                ClientOutput::Transmit(_) => panic!("a datagram on a stream"),
                ClientOutput::Event(BootstrapEvent::Finished { accounts: all }) => accounts = all,
                ClientOutput::Event(_) => {}
            }
        } else if let Some(output) = engine.poll_output() {
            match output {
                Output::Send { message, .. } => client.handle_message(instant, message),
                Output::Prepare { id, .. } => {
                    engine.handle_prepared(now, id, Ok(plan(&every_account())));
                }
                Output::Ended { outcome: end, .. } => outcome = Some(end),
                Output::Transmit { .. } => panic!("a datagram on a stream"),
                _ => {}
            }
        } else {
            break;
        }
    }
    assert_eq!(outcome, Some(BootstrapOutcome::Finished));
    assert_eq!(accounts.len(), every_account().len());
}
