//! How the exchange of messages with the device goes: what is lost, where it talks from, what was refused.

use std::time::Duration;

use device_state::{Attempt, Contact, Move, RefusedAttempt, Transport};

use crate::{Facts, Finding, LATELY, Severity, span, spoken};

/// Fewer repeated messages are chance.
const FEW: u64 = 3;
/// One in so many messages may be repeated.
const LOSS: u64 = 10;
/// More changes of address are a habit, if they come within this time each.
const FEW_MOVES: u32 = 3;
const OFTEN: Duration = Duration::from_hours(6);

pub(crate) fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let contact = facts.contact;
    let lost = contact.and_then(|contact| lost(facts, contact));
    let moved = contact.and_then(|contact| moved(facts, contact));
    [lost, moved, refused(facts)]
        .into_iter()
        .flatten()
        .collect()
}

/// RFC 7252 §4.2: what is not acknowledged in time is sent again.
fn lost(facts: &Facts<'_>, contact: &Contact) -> Option<Finding> {
    let again = u64::from(contact.sent_again) + u64::from(contact.heard_again);
    let all = u64::from(contact.requests) + u64::from(contact.heard);
    (again >= FEW && again * LOSS >= all).then(|| {
        Finding::new(
            Severity::Warning,
            "Messages to and from the device are lost or late.",
            format!(
                "In {}, {} requests were made of it: messages to it were sent again {} times, and {} requests were never \
                 answered. Of {} messages of its own, {} came again.",
                spoken(span(contact.since, facts.now)),
                contact.requests,
                contact.sent_again,
                contact.unanswered,
                contact.heard,
                contact.heard_again,
            ),
            "Look at its radio signal and at the load of the network on the way. Messages that come again cost the device energy.",
        )
    })
}

/// A device on a stream has another port for each connection; that says nothing.
fn moved(facts: &Facts<'_>, contact: &Contact) -> Option<Finding> {
    let last = contact.last_move.as_deref()?;
    let registration = facts.view.registration.as_ref()?;
    if !matches!(registration.transport, Transport::Udp | Transport::Dtls) {
        return None;
    }
    let counted = span(contact.since, facts.now);
    let often = contact.moves >= FEW_MOVES && counted < OFTEN * contact.moves;
    let severity = if often {
        Severity::Warning
    } else {
        Severity::Notice
    };
    let (summary, advice) = if last.from.ip() == last.to.ip() {
        rebound(registration.session.is_some())
    } else {
        (
            "The device talks from another address than before.",
            "It moved to another network, or the network gave it another address.",
        )
    };
    let registered = match contact.registered_again {
        0 => String::new(),
        times => format!(" It registered again {times} times meanwhile."),
    };
    let Move { from, to, .. } = last;
    let evidence = format!(
        "{} times in {}; {} ago from {from} to {to}.{registered}",
        contact.moves,
        spoken(counted),
        spoken(span(last.at, facts.now)),
    );
    Some(Finding::new(severity, summary, evidence, advice))
}

/// The same host with another port: by a translator, unless the device opened another socket.
fn rebound(has_connection_id: bool) -> (&'static str, &'static str) {
    let summary = "The device's port changes: an address translator forgets it.";
    let advice = if has_connection_id {
        "Its session goes on by its Connection ID, and requests reach it once it has sent something. Shorten the lifetime (/1/0/1) below \
         the translator's timeout if it is to be reached at any time."
    } else {
        "Until its next message the device cannot be reached. Shorten the lifetime (/1/0/1) below the translator's timeout, use a \
         DTLS Connection ID, or let the device register with queue mode."
    };
    (summary, advice)
}

fn refused(facts: &Facts<'_>) -> Option<Finding> {
    let lately = |refused: &&RefusedAttempt| span(refused.at, facts.now) < LATELY;
    let lately = || facts.refused.iter().filter(lately);
    let last = lately().max_by_key(|refused| refused.at)?;
    // Each worker of each node has counted its own.
    let alike = lately().filter(|refused| refused.what == last.what);
    let times: u32 = alike.fold(0, |sum, refused| sum.saturating_add(refused.count));
    let (what, advice) = match last.what {
        Attempt::Handshake => (
            "A handshake",
            "Compare the device's credential with what `drover credentials list` shows; `drover credentials add` replaces it. Who \
             fails on purpose cannot be told apart from who has the wrong key.",
        ),
        Attempt::Registration => (
            "A registration",
            "Correct what the device sends; a name has to be the one that its credential is for.",
        ),
        Attempt::OfServer => return Some(given_up(facts, last, times)),
    };
    let evidence = format!(
        "{what} from {} was refused {} ago, {} times in all: {}.",
        last.from,
        spoken(span(last.at, facts.now)),
        times,
        last.reason,
    );
    let registered = facts.view.registration.as_ref();
    let since = registered.is_some_and(|registration| registration.updated_at >= last.at);
    let is_there = registered.is_some();
    let (severity, summary) = match (is_there, since) {
        (false, _) => (Severity::Problem, "The device is refused."),
        (true, false) => (
            Severity::Warning,
            "Somebody who claims to be the device is refused.",
        ),
        (true, true) => (
            Severity::Notice,
            "The device, or somebody who claims to be it, was refused before it was let in.",
        ),
    };
    Some(Finding::new(severity, summary, evidence, advice))
}

/// The device does not take the server for what it says it is, or does not speak as it does.
fn given_up(facts: &Facts<'_>, last: &RefusedAttempt, times: u32) -> Finding {
    let severity = match facts.view.registration {
        None => Severity::Problem,
        Some(_) => Severity::Notice,
    };
    Finding::new(
        severity,
        "The device gives up handshakes.",
        format!(
            "It gave one up from {} {} ago, {times} times in all: {}.",
            last.from,
            spoken(span(last.at, facts.now)),
            last.reason,
        ),
        "Compare what it has of the server (/0/x/4, the authorities that it trusts) with the server's key and certificate, and look at \
         the device's clock.",
    )
}
