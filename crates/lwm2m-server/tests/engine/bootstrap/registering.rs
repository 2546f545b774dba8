//! 1.1-int-1 and 1.1-int-7: with the accounts it was given, the device registers.

use std::sync::Arc;
use std::time::Instant;

use device_state::{
    Command, CredentialId, NodeId, Outcome, Quirks, SecurityIdentity, Timestamp, Transport,
};
use lwm2m_client::bootstrap::{StoredAccount, StoredSecurity};
use lwm2m_client::{Config as DeviceConfig, Device, Event, Output as DeviceOutput};
use lwm2m_server::{Config, Engine, Now, Origin, Output, Principal};

use super::pair::{Pair, client_config, endpoint};

#[test]
fn a_bootstrapped_device_registers() {
    let mut pair = Pair::new(client_config());
    pair.run();
    let accounts = pair.accounts();
    let lifetime = register(&accounts[0], pair.now);
    assert_eq!(lifetime, accounts[0].lifetime);
}

/// Registers by the account; the lifetime that the server was told.
fn register(account: &StoredAccount, instant: Instant) -> lwm2m::Lifetime {
    let StoredSecurity::Psk { identity, .. } = &account.security else {
        panic!("{account:?}");
    };
    let origin = Origin {
        address: "192.0.2.1:40001".parse().unwrap(),
        transport: Transport::Dtls,
        principal: Arc::new(Principal {
            identity: SecurityIdentity::Credential(CredentialId::PskIdentity(identity.clone())),
            endpoints: vec![endpoint()],
        }),
        session: None,
    };
    let mut config = DeviceConfig::new(endpoint());
    account.configure(&mut config);
    let mut device = Device::new(config, 1);
    let mut engine: Engine<u8> = Engine::new(Config::new(NodeId(1), 1), [1; 32]);
    let now = Now {
        instant,
        wall: Timestamp(0),
    };
    device.start(instant);
    let (mut lifetime, mut registered) = (None, false);
    loop {
        if let Some(output) = device.poll_output() {
            match output {
                DeviceOutput::Transmit(datagram) => {
                    engine.handle_datagram(now, 1, &origin, &datagram);
                }
                DeviceOutput::Event(Event::Registered { .. }) => registered = true,
                _ => {}
            }
        } else if let Some(output) = engine.poll_output() {
            match output {
                Output::Transmit { datagram, .. } => device.handle_datagram(instant, &datagram),
                Output::Commit {
                    id,
                    command: Command::Register { registration },
                    ..
                } => {
                    lifetime = Some(registration.lifetime);
                    let outcome = Outcome::Registered {
                        id: registration.id,
                        expires_at: Timestamp::NEVER,
                        moved_from: None,
                        observations: Vec::new(),
                        quirks: Quirks::default(),
                    };
                    engine.handle_committed(now, id, Ok(outcome));
                }
                _ => {}
            }
        } else {
            break;
        }
    }
    assert!(registered);
    lifetime.expect("it has registered")
}
