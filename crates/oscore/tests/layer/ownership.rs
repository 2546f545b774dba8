//! Contexts that move, crash and come back.

use std::collections::BTreeSet;

use coap::Code;
use oscore::{
    Carried, Client, Config, ContextState, ImportError, OSCORE, OscoreOption, Output, Server,
};

use crate::pair::{DEVICE, Pair, Place, SERVER};

#[test]
fn a_context_of_unknown_history_challenges_the_first_request() {
    let state = ContextState::provision(&SERVER).unwrap();
    let device = ContextState::provision(&DEVICE).unwrap();
    let mut pair = Pair::from(state, 1, device, 1);
    assert_eq!(pair.device_gets("rd"), [b"rd"]);
    assert_eq!(pair.server.counters().challenges, 1);
    assert_eq!(pair.client.counters().challenged, 1);
    // The device does not know the server's history either.
    assert_eq!(pair.server_puts("3"), [Code::CHANGED_2_04]);
    assert_eq!(pair.client.counters().challenges, 1);
    assert_eq!(pair.server.counters().challenged, 1);
    assert_eq!(pair.server_puts("3"), [Code::CHANGED_2_04]);
    assert_eq!(pair.client.counters().challenges, 1);
}

#[test]
fn a_challenge_survives_losses() {
    for (up, down) in [(0, 1), (1, 0), (1, 1), (0, 2)] {
        let state = ContextState::provision(&SERVER).unwrap();
        let device = ContextState::never_used(&DEVICE).unwrap();
        let mut pair = Pair::from(state, 1, device, 1);
        (pair.up.lose, pair.down.lose) = (up, down);
        assert_eq!(pair.device_gets("rd"), [b"rd"]);
        assert_eq!(pair.requests_at_server(), 1);
    }
}

#[test]
fn after_a_crash_nothing_recorded_is_accepted() {
    let mut pair = Pair::new();
    for path in ["1", "2", "3"] {
        pair.device_gets(path);
    }
    let recorded = pair.up.sent.clone();
    let stored = pair.server.export(pair.context).unwrap();
    pair.server = Server::new(Config::default(), [9; 32]);
    pair.context = pair.server.import(stored, 2).unwrap();
    pair.server_events.clear();
    for datagram in &recorded {
        pair.deliver_up(datagram);
    }
    pair.settle();
    assert_eq!(pair.requests_at_server(), 0);
    // Only the first: challenges have a rate.
    assert_eq!(pair.server.counters().challenges, 1);
    pair.now += std::time::Duration::from_secs(1);
    assert_eq!(pair.device_gets("4"), [b"4"]);
    for datagram in &recorded {
        pair.deliver_up(datagram);
    }
    pair.settle();
    assert_eq!(pair.requests_at_server(), 1);
}

#[test]
fn a_released_context_goes_on_without_challenge_and_knows_what_it_accepted() {
    let mut pair = Pair::new();
    pair.device_gets("1");
    let recorded = pair.up.sent.clone();
    let state = pair.server.release(pair.context).unwrap();
    let state = ContextState::decode(&state.encode()).unwrap();
    assert!(!state.authenticates(&Carried::Datagram(recorded[0].clone())));
    pair.server = Server::new(Config::default(), [9; 32]);
    pair.context = pair.server.import(state, 2).unwrap();
    pair.server_events.clear();
    for datagram in &recorded {
        pair.deliver_up(datagram);
    }
    pair.settle();
    assert_eq!(pair.requests_at_server(), 0);
    assert_eq!(pair.server.counters().replayed, 1);
    assert_eq!(pair.device_gets("2"), [b"2"]);
    assert_eq!(pair.server.counters().challenges, 0);
}

#[test]
fn a_window_is_good_for_its_own_keys_and_generation_only() {
    let mut pair = Pair::new();
    pair.device_gets("1");
    let recorded = Carried::Datagram(pair.up.sent[0].clone());
    let released = pair.server.release(pair.context).unwrap();
    let window = released.window().unwrap();
    let again = ContextState::provision(&SERVER).unwrap();
    assert!(again.authenticates(&recorded));
    let whole = again.clone().with_window(&window);
    assert_eq!(whole, released);
    assert!(!whole.authenticates(&recorded));

    let other = oscore::Secrets {
        master_secret: b"another key",
        ..SERVER
    };
    let other = ContextState::provision(&other).unwrap();
    assert_eq!(other.clone().with_window(&window), other);
    for at in 0..window.len() {
        let mut damaged = window.clone();
        damaged[at] ^= 1;
        assert_eq!(again.clone().with_window(&damaged), again, "byte {at}");
        assert_eq!(again.clone().with_window(&window[..at]), again);
    }
    assert_eq!(again.window(), None);
}

#[test]
fn a_context_that_owes_an_answer_is_released_without_window() {
    let mut pair = Pair::new();
    pair.device_gets("1");
    let mut request = coap::Message::new(coap::Type::Confirmable, Code::GET, coap::MessageId(9));
    request.token = coap::Token::new(b"late").unwrap();
    pair.client.send(pair.now, &request.to_datagram()).unwrap();
    let Some(oscore::ClientOutput::Transmit(request)) = pair.client.poll_output() else {
        panic!("a request was sent");
    };
    pair.server.handle(pair.now, pair.place, &request);
    let released = pair.server.release(pair.context).unwrap();
    assert_eq!(released.window(), None);
    assert!(released.authenticates(&request));
}

#[test]
fn a_device_that_starts_again_is_served() {
    let mut pair = Pair::new();
    pair.device_gets("1");
    pair.server_puts("3");
    let stored = ContextState::never_used(&DEVICE).unwrap().claim(1).unwrap();
    pair.client = Client::new(Config::default(), stored, 2, [7; 32]).unwrap();
    pair.device = coap::Endpoint::new(coap::Config::default(), 77);
    assert_eq!(pair.device_gets("2"), [b"2"]);
    assert_eq!(pair.server_puts("3"), [Code::CHANGED_2_04]);
    assert_eq!(pair.client.counters().challenges, 1);
}

/// The numbers that a server's datagrams were protected with.
fn numbers(datagrams: &[Vec<u8>]) -> Vec<Option<u64>> {
    datagrams
        .iter()
        .filter_map(|datagram| {
            let message = coap::decode(datagram).unwrap();
            let option = OscoreOption::decode(message.options.first(OSCORE)?).unwrap();
            Some(option.partial_iv.map(oscore::PartialIv::number))
        })
        .collect()
}

#[test]
fn two_owners_never_use_the_same_nonce_even_for_the_same_request() {
    let state = ContextState::never_used(&SERVER).unwrap();
    let device = ContextState::never_used(&DEVICE).unwrap();
    let mut pair = Pair::from(state.clone(), 1, device, 1);
    let mut second = Pair::from(state, 2, ContextState::never_used(&DEVICE).unwrap(), 1);
    for path in ["1", "2", "3"] {
        pair.device_gets(path);
        pair.server_puts(path);
    }
    for datagram in pair.up.sent.clone() {
        second
            .server
            .handle_datagram(second.now, second.place, &datagram);
    }
    second.settle();
    let mut seen = BTreeSet::new();
    for number in numbers(&pair.down.sent)
        .into_iter()
        .chain(numbers(&second.down.sent))
    {
        // A response without a number would use the nonce of its request, which both have.
        assert!(seen.insert(number.unwrap()), "{number:?} was used twice");
    }
    assert!(seen.len() >= 9);
}

#[test]
fn a_generation_is_used_once_and_a_name_is_here_once() {
    let state = ContextState::provision(&SERVER).unwrap();
    let mut server = Server::<Place>::new(
        Config {
            max_contexts: 1,
            ..Config::default()
        },
        [1; 32],
    );
    let id = server.import(state.clone(), 5).unwrap();
    assert_eq!(
        server.import(state.clone(), 6),
        Err(ImportError::AlreadyPresent)
    );
    let exported = server.export(id).unwrap();
    assert_eq!(exported.generation(), 5);
    let stale = ImportError::StaleGeneration {
        given: 5,
        exported: 5,
    };
    assert_eq!(
        Server::<Place>::new(Config::default(), [2; 32]).import(exported, 5),
        Err(stale)
    );
    let other = oscore::Secrets {
        recipient_id: b"other",
        ..SERVER
    };
    let other = ContextState::provision(&other).unwrap();
    assert_eq!(server.import(other, 1), Err(ImportError::TableFull));
}

#[test]
fn an_unknown_context_is_asked_for_and_then_refused_or_imported() {
    let mut pair = Pair::new();
    let request = coap::Request::new(Code::GET, ["rd"]);
    pair.device.send_request(pair.now, (), request).unwrap();
    let Some(coap::Output::Transmit { datagram, .. }) = pair.device.poll_output() else {
        panic!("a request was sent");
    };
    pair.client.send(pair.now, &datagram).unwrap();
    let Some(oscore::ClientOutput::Transmit(request)) = pair.client.poll_output() else {
        panic!("a request was sent");
    };
    let mut other = Server::new(Config::default(), [3; 32]);
    other.handle(pair.now, pair.place, &request);
    let Some(Output::UnknownContext {
        kid,
        id_context: None,
        request,
        peer,
    }) = other.poll_output()
    else {
        panic!("the context is not here");
    };
    assert_eq!(kid.as_bytes(), b"dev");
    other.refuse_unknown(pair.now, peer, &request);
    let Some(Output::Transmit {
        message: answer, ..
    }) = other.poll_output()
    else {
        panic!("a refusal is sent");
    };
    let answer = answer.decode().unwrap();
    assert_eq!(answer.code, Code::UNAUTHORIZED_4_01);
    assert_eq!(answer.payload, b"Security context not found");
    assert_eq!(answer.options.first(coap::number::MAX_AGE), Some(&[][..]));

    let state = ContextState::provision(&SERVER).unwrap();
    assert!(state.authenticates(&request));
    let wrong = oscore::Secrets {
        master_secret: b"another key",
        ..SERVER
    };
    assert!(
        !ContextState::provision(&wrong)
            .unwrap()
            .authenticates(&request)
    );
    other.import(state, 1).unwrap();
    other.handle(pair.now, peer, &request);
    assert!(matches!(other.poll_output(), Some(Output::Transmit { .. })));
    assert_eq!(other.counters().challenges, 1);
}
