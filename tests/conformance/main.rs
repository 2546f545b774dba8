//! The interoperability cases of the OMA (ETS LightweightM2M 1.2) with a real cluster: each case that is played has a
//! device of its own, and the server's part is done from the command line. Writes `docs/conformance.md`, and fails if
//! a case that is played does.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the case's failure")]

mod bootstrap;
mod cases;
mod channel;
mod device;
mod firmware;
mod keys;
mod management;
mod objects;
mod packages;
mod registration;
mod report;
mod reporting;
mod rules;
mod security;
mod servers;
mod stage;

use std::panic::{AssertUnwindSafe, catch_unwind};

use cases::{Case, Play};
use report::{Outcome, Played};
use stage::{LESHAN, Stage};

#[test]
fn every_case_that_is_played_passes() {
    let stage = Stage::new();
    let chosen = std::env::var("DROVER_CASES").ok();
    let cases: Vec<Case> = cases::all()
        .into_iter()
        .filter(|case| is_chosen(case, chosen.as_deref()))
        .collect();
    // What takes minutes goes beside all else.
    let played = std::thread::scope(|scope| {
        let long: Vec<_> = cases
            .iter()
            .filter(|case| matches!(case.play, Play::Long(_)))
            .map(|case| scope.spawn(|| play(&stage, case)))
            .collect();
        let mut played: Vec<Played> = cases
            .iter()
            .filter(|case| !matches!(case.play, Play::Long(_)))
            .map(|case| play(&stage, case))
            .collect();
        let by_leshan = cases.iter().filter(|case| cases::is_for_leshan(case.id));
        played.extend(by_leshan.map(|case| play_with_leshan(&stage, case)));
        played.extend(long.into_iter().map(|thread| thread.join().unwrap()));
        played
    });
    // The cluster has no more to do.
    drop(stage);
    let mut failed: Vec<String> = played
        .iter()
        .filter_map(|played| match &played.outcome {
            Outcome::Failed(why) => Some(format!("{} with {}: {why}", played.id, played.peer)),
            Outcome::Passed | Outcome::NotPlayed(_) => None,
        })
        .collect();
    if chosen.is_none() {
        let rules = rules::all();
        let judged = report::judge(&rules, &rules::run(&rules), &played);
        report::write(&cases, &played, &judged);
        failed.extend(judged.iter().filter_map(report::Judged::failure));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Whether to play a case: `DROVER_CASES` names some, with spaces between; then no page is written.
fn is_chosen(case: &Case, chosen: Option<&str>) -> bool {
    chosen.is_none_or(|chosen| chosen.split_whitespace().any(|id| id == case.id))
}

fn play(stage: &Stage, case: &Case) -> Played {
    Played {
        id: case.id,
        peer: "the test device",
        outcome: outcome(stage, case, case.id),
    }
}

fn play_with_leshan(stage: &Stage, case: &Case) -> Played {
    Played {
        id: case.id,
        peer: "Leshan",
        outcome: outcome(stage, case, &format!("{LESHAN}{}", case.id)),
    }
}

/// Plays a case with the device of that name.
fn outcome(stage: &Stage, case: &Case, device: &str) -> Outcome {
    match case.play {
        Play::Short(play) | Play::Long(play) => {
            match catch_unwind(AssertUnwindSafe(|| play(stage, device))) {
                Ok(()) => Outcome::Passed,
                Err(panic) => Outcome::Failed(said(panic.as_ref())),
            }
        }
        Play::Not(why) => Outcome::NotPlayed(why),
    }
}

/// What a panic says.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}
