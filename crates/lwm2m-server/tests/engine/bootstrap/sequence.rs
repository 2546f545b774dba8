//! What a bootstrap does when all goes well.

use std::time::Duration;

use coap::{Code, Type};
use lwm2m::{ContentFormat, LwM2mVersion, Path, Value};
use lwm2m_client::bootstrap::{
    BootstrapConfig as ClientConfig, BootstrapEvent, DiscoverForm, StoredOscore,
};
use lwm2m_server::bootstrap::{BootstrapMethod, BootstrapOutcome, BootstrapPlan, ServerAccount};
use netsim::Conditions;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

use super::pair::{DELAY, Output, Pair, client_config, endpoint, steps};
use super::plans::{access, agrees, every_account, path, plan, psk};

/// 1.1-int-0, 1.1-int-1 and 1.1-int-4.
#[test]
fn a_device_gets_its_account() {
    let mut pair = Pair::new(client_config());
    let (outcome, log) = pair.run();
    assert_eq!(outcome, BootstrapOutcome::Finished);
    let expected = [
        "discover 2.05",
        "delete /0 2.02",
        "delete /1 2.02",
        "write /0/1 tlv 2.04",
        "write /1/0 tlv 2.04",
        "finish 2.04",
    ];
    assert_eq!(steps(&log), expected);
    let accounts = pair.accounts();
    assert_eq!(accounts.len(), 1);
    assert!(agrees(&accounts[0], &psk()), "{accounts:?}");
    pair.check();
}

/// 1.1-int-2, 1.2-int-11 and more, in every format and release.
#[test]
fn every_kind_of_account_arrives() {
    let accounts = every_account();
    let formats = [
        None,
        Some(ContentFormat::TLV),
        Some(ContentFormat::SENML_CBOR),
        Some(ContentFormat::SENML_JSON),
        Some(ContentFormat::LWM2M_CBOR),
    ];
    let is_known = |format: &Option<ContentFormat>| format.is_none_or(ContentFormat::is_structured);
    for preferred_format in formats.into_iter().filter(is_known) {
        for version in [LwM2mVersion::V1_1, LwM2mVersion::V1_2] {
            let config = ClientConfig {
                preferred_format,
                version,
                ..client_config()
            };
            let mut pair = Pair::with_plan(config, plan(&accounts));
            let (outcome, log) = pair.run();
            assert_eq!(outcome, BootstrapOutcome::Finished, "{:?}", steps(&log));
            let stored = pair.accounts();
            assert_eq!(stored.len(), accounts.len());
            for (stored, account) in stored.iter().zip(&accounts) {
                assert!(agrees(stored, account), "{stored:?}");
            }
            let format = preferred_format.unwrap_or(ContentFormat::TLV);
            let wanted = format!("write /0/1 {format} 2.04");
            assert!(steps(&log).contains(&wanted), "{:?}", steps(&log));
        }
    }
}

/// Rule 65: what stands in the way of the accounts is the bootstrap account, whose instance is found in every form of the
/// answer; without an answer the device has to be lucky.
#[test]
fn the_bootstrap_account_stays_wherever_it_is() {
    let account = ServerAccount {
        security_instance: 0,
        ..every_account().pop().unwrap()
    };
    for discover in [DiscoverForm::Old, DiscoverForm::New, DiscoverForm::Slashes] {
        for (security_instance, placed) in [(0, 1), (1, 0)] {
            let mut config = ClientConfig {
                discover,
                ..client_config()
            };
            config.account.security_instance = security_instance;
            config.account.oscore = Some(StoredOscore {
                instance: security_instance,
                master_secret: vec![1; 16],
                master_salt: Vec::new(),
                sender_id: vec![7],
                recipient_id: vec![8],
                id_context: None,
                aead_algorithm: 10,
                hmac_algorithm: -10,
            });
            let mut pair = Pair::with_plan(config, plan(std::slice::from_ref(&account)));
            let (outcome, log) = pair.run();
            assert_eq!(outcome, BootstrapOutcome::Finished, "{:?}", steps(&log));
            let accounts = pair.accounts();
            assert_eq!(accounts[0].security_instance, placed, "{discover:?}");
            assert!(agrees(&accounts[0], &account), "{accounts:?}");
        }
    }
    let refused = ClientConfig {
        discover: DiscoverForm::Refused,
        ..client_config()
    };
    let (outcome, log) = Pair::new(refused).run();
    assert_eq!(outcome, BootstrapOutcome::Finished);
    assert_eq!(steps(&log)[0], "discover 4.05");
}

#[test]
fn an_old_client_is_bootstrapped_without_what_it_does_not_know() {
    let config = ClientConfig {
        version: LwM2mVersion::V1_0,
        preferred_format: Some(ContentFormat::SENML_CBOR),
        ..client_config()
    };
    let mut pair = Pair::new(config);
    let (outcome, log) = pair.run();
    assert_eq!(outcome, BootstrapOutcome::Finished);
    assert!(steps(&log).contains(&"write /1/0 tlv 2.04".to_owned()));
    // The defaults: nothing was written.
    assert_eq!(pair.accounts()[0].retry.sequence_retry_count, 1);
}

/// 1.1-int-8.
#[test]
fn access_rights_are_written_and_read_back() {
    let account = ServerAccount {
        short_server_id: 2,
        ..psk()
    };
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let plan = BootstrapPlan {
        reads: vec![Path::Object(1), Path::Object(2)],
        ..BootstrapPlan::new(&[account], &[access()], &mut rng)
    };
    for (version, formats) in [
        (LwM2mVersion::V1_0, vec![ContentFormat::TLV]),
        (LwM2mVersion::V1_1, client_config().formats),
    ] {
        let config = ClientConfig {
            version,
            formats,
            ..client_config()
        };
        let mut pair = Pair::with_plan(config, plan.clone());
        let (outcome, log) = pair.run();
        assert_eq!(outcome, BootstrapOutcome::Finished, "{:?}", steps(&log));
        let reported: Vec<_> = pair
            .outputs
            .iter()
            .filter_map(|output| match output {
                Output::Reported { path, values, .. } => Some((*path, values.clone())),
                _ => None,
            })
            .collect();
        assert_eq!(reported.len(), 2);
        let (read, values) = &reported[1];
        assert_eq!(*read, Path::Object(2));
        let right = values.iter().find(|entry| entry.path == path("/2/0/2/2"));
        assert_eq!(right.map(|entry| &entry.value), Some(&Value::Integer(31)));
    }
}

/// Rules 67 and 69: nothing happens before the plan is there, the answer to the request goes first, and what follows waits
/// until that has arrived.
#[test]
fn the_answer_to_the_request_goes_first() {
    for prepare_after in [Duration::ZERO, Duration::from_secs(5)] {
        let mut pair = Pair::new(client_config());
        pair.prepare_after = Some(prepare_after);
        let (outcome, _) = pair.run();
        assert_eq!(outcome, BootstrapOutcome::Finished);
        let mut sent = pair.sent.iter();
        let mut sent = sent
            .by_ref()
            .filter(|(_, message)| !message.code.is_empty());
        let (answered_at, answer) = sent.next().unwrap();
        assert_eq!(answer.code, Code::CHANGED_2_04);
        let (asked_at, first) = sent.next().unwrap();
        assert_eq!(first.code, Code::GET, "Discover");
        let separate = answer.kind == Type::Confirmable;
        assert_eq!(separate, prepare_after > Duration::ZERO);
        if separate {
            assert!(*asked_at >= *answered_at + DELAY * 2);
        }
    }
}

#[test]
fn the_caller_is_told_what_it_needs_for_a_plan() {
    let config = ClientConfig {
        preferred_format: Some(ContentFormat::SENML_CBOR),
        ..client_config()
    };
    let mut pair = Pair::new(config);
    pair.run();
    let Some(Output::Prepare {
        endpoint: name,
        method,
        preferred_format,
        identity,
        ..
    }) = pair.outputs.first()
    else {
        panic!("{:?}", pair.outputs);
    };
    assert_eq!(*name, endpoint());
    assert_eq!(*method, BootstrapMethod::Sequence);
    assert_eq!(*preferred_format, Some(ContentFormat::SENML_CBOR));
    assert_eq!(*identity, pair.origin.principal.identity);
}

#[test]
fn loss_duplicates_and_reordering_are_survived() {
    for seed in 0..40 {
        let mut pair = Pair::over(Conditions::rough(), client_config(), seed);
        pair.prepared = Ok(plan(&every_account()));
        pair.prepare_after = Some(Duration::from_millis(500) * (seed % 4) as u32);
        let (outcome, log) = pair.run();
        // One message in ten is lost, so one exchange in 4,000 fails for good, and none of these.
        assert_eq!(
            outcome,
            BootstrapOutcome::Finished,
            "seed {seed}: {:?}",
            steps(&log)
        );
        pair.drive(Duration::from_mins(5));
        let accepted = |event: &&BootstrapEvent| matches!(event, BootstrapEvent::Accepted);
        assert!(pair.events.iter().filter(accepted).count() <= 1);
        assert_eq!(
            pair.prepares(),
            1,
            "seed {seed}: a repeated message begins nothing"
        );
        assert_eq!(pair.accounts().len(), every_account().len());
        pair.check();
    }
}
