//! `docs/conformance.md`.

use std::fmt::Write as _;

use crate::cases::{Case, Why};

/// How a case went.
pub(crate) struct Played {
    pub(crate) id: &'static str,
    pub(crate) outcome: Outcome,
}

pub(crate) enum Outcome {
    Passed,
    Failed(String),
    NotPlayed(Why),
}

const HEAD: &str = "\
# Conformance

The interoperability cases of OMA ETS LightweightM2M 1.2, with a real cluster. Written by `make conformance`: a case that is
said to pass was played, with the test device of this project (`crates/lwm2m-client`) on the other side of a UDP socket, and
the server's part done from the command line. What other implementations play is in `make interop`.

";

/// Writes the page.
pub(crate) fn write(cases: &[Case], played: &[Played]) {
    let outcome = |case: &Case| {
        let found = played.iter().find(|played| played.id == case.id);
        &found.unwrap().outcome
    };
    let count = |is: fn(&Outcome) -> bool| cases.iter().filter(|case| is(outcome(case))).count();
    let mut page = HEAD.to_owned();
    writeln!(
        page,
        "{} cases: {} pass, {} fail, {} have no procedure or are played by another, {} are not run.\n",
        cases.len(),
        count(|one| matches!(one, Outcome::Passed)),
        count(|one| matches!(one, Outcome::Failed(_))),
        count(|one| matches!(one, Outcome::NotPlayed(Why::Placeholder | Why::Delegated(_)))),
        count(|one| matches!(one, Outcome::NotPlayed(Why::NotRun(_)))),
    )
    .unwrap();
    page += "| id | what | result | why |\n|---|---|---|---|\n";
    for case in cases {
        let (result, why) = match outcome(case) {
            Outcome::Passed => ("pass", String::new()),
            Outcome::Failed(why) => (
                "**fail**",
                why.lines().next().unwrap_or_default().to_owned(),
            ),
            Outcome::NotPlayed(Why::Placeholder) => ("–", "no procedure".to_owned()),
            Outcome::NotPlayed(Why::Delegated(to)) => ("–", format!("played by {to}")),
            Outcome::NotPlayed(Why::NotRun(why)) => ("not run", (*why).to_owned()),
        };
        writeln!(page, "| {} | {} | {result} | {why} |", case.id, case.what).unwrap();
    }
    std::fs::write("../docs/conformance.md", page).unwrap();
}
