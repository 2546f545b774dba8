//! Bootstrap-Pack (1.2-int-12, rule 68).

use coap::Code;
use lwm2m::{ContentFormat, LwM2mVersion};
use lwm2m_client::bootstrap::{BootstrapConfig as ClientConfig, BootstrapEvent, PackUse};
use lwm2m_server::bootstrap::{BootstrapMethod, BootstrapOutcome, BootstrapPlan, ServerAccount};

use super::pair::{Output, Pair, client_config};
use super::plans::{agrees, every_account, plan, psk};

fn config(format: ContentFormat) -> ClientConfig {
    ClientConfig {
        version: LwM2mVersion::V1_2,
        pack: PackUse::First(format),
        ..client_config()
    }
}

#[test]
fn a_pack_holds_all_accounts() {
    let accounts = every_account();
    let formats = [
        ContentFormat::SENML_JSON,
        ContentFormat::SENML_CBOR,
        ContentFormat::LWM2M_CBOR,
    ];
    for format in formats.into_iter().filter(|format| format.is_structured()) {
        let mut pair = Pair::with_plan(config(format), plan(&accounts));
        let (outcome, log) = pair.run();
        assert_eq!(outcome, BootstrapOutcome::PackDelivered);
        assert_eq!(log, []);
        let stored = pair.accounts();
        assert_eq!(stored.len(), accounts.len());
        for (stored, account) in stored.iter().zip(&accounts) {
            assert!(agrees(stored, account), "{stored:?}");
        }
        let Some(Output::Prepare {
            method,
            preferred_format,
            ..
        }) = pair.outputs.first()
        else {
            panic!("{:?}", pair.outputs);
        };
        assert_eq!(*method, BootstrapMethod::Pack);
        assert_eq!(*preferred_format, Some(format));
        // There is no Finish.
        assert!(pair.codes().iter().all(|code| *code == Code::CONTENT_2_05));
        pair.check();
    }
}

#[test]
fn a_device_without_a_pack_is_bootstrapped_step_by_step() {
    let forbidden = BootstrapPlan {
        packs: false,
        ..plan(&[psk()])
    };
    let mut pair = Pair::with_plan(config(ContentFormat::SENML_CBOR), forbidden);
    let (first, _) = pair.run();
    assert_eq!(first, BootstrapOutcome::PackRefused);
    while pair.endings().len() < 2 {
        pair.drive(std::time::Duration::from_secs(1));
    }
    assert_eq!(pair.endings()[1].0, BootstrapOutcome::Finished);
    assert_eq!(
        pair.codes()[..2],
        [Code::METHOD_NOT_ALLOWED_4_05, Code::CHANGED_2_04]
    );
    assert_eq!(pair.accounts().len(), 1);
    pair.check();
}

#[test]
fn a_format_that_cannot_name_objects_is_not_acceptable() {
    let mut pair = Pair::new(config(ContentFormat::TLV));
    assert_eq!(pair.run().0, BootstrapOutcome::Finished);
    assert_eq!(pair.codes()[0], Code::NOT_ACCEPTABLE_4_06);
    assert_eq!(pair.prepares(), 1, "that is the one of the sequence");
}

/// The pack cannot know where the bootstrap account is; the sequence can.
#[test]
fn a_device_that_cannot_use_its_pack_comes_for_the_sequence() {
    let account = ServerAccount {
        security_instance: 0,
        ..psk()
    };
    let mut pair = Pair::with_plan(config(ContentFormat::SENML_CBOR), plan(&[account]));
    assert_eq!(pair.run().0, BootstrapOutcome::PackDelivered);
    assert!(pair.events.contains(&BootstrapEvent::PackRejected));
    while pair.endings().len() < 2 {
        pair.drive(std::time::Duration::from_secs(1));
    }
    assert_eq!(pair.endings()[1].0, BootstrapOutcome::Finished);
    assert_eq!(pair.accounts()[0].security_instance, 1);
    pair.check();
}
