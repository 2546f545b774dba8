//! `docs/conformance.md`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::cases::{Case, Why};
use crate::rules::{Proof, Rule, Test};

/// How a case went.
pub(crate) struct Played {
    pub(crate) id: &'static str,
    /// Who played the device's part.
    pub(crate) peer: &'static str,
    pub(crate) outcome: Outcome,
}

pub(crate) enum Outcome {
    Passed,
    Failed(String),
    NotPlayed(Why),
}

/// Whether a rule holds.
pub(crate) struct Judged {
    rule: &'static Rule,
    /// What should have shown it and did not.
    missing: Vec<&'static str>,
}

impl Judged {
    /// What to say of a rule that does not hold.
    pub(crate) fn failure(&self) -> Option<String> {
        let id = self.rule.id;
        let missing = self.missing.join(", ");
        (!self.missing.is_empty()).then(|| format!("{id}: did not pass: {missing}"))
    }
}

/// Holds the rules against what passed.
pub(crate) fn judge(
    rules: &[&'static Rule],
    tests: &BTreeSet<Test>,
    cases: &[Played],
) -> Vec<Judged> {
    let missing = |proof: &'static Proof| match proof {
        Proof::Test(test) => (!tests.contains(test)).then_some(test.name),
        Proof::Case(id) => {
            let played = || cases.iter().filter(|case| case.id == *id);
            let passed = |case: &Played| matches!(case.outcome, Outcome::Passed);
            let holds = played().next().is_some() && played().all(passed);
            (!holds).then_some(*id)
        }
    };
    let judge = |rule: &&'static Rule| Judged {
        rule,
        missing: rule.proofs.iter().filter_map(missing).collect(),
    };
    rules.iter().map(judge).collect()
}

const HEAD: &str = "\
# Conformance

The interoperability cases of OMA ETS LightweightM2M 1.2, with a real cluster. Written by `make conformance`: a case that is
said to pass was played, with the server's part done from the command line, and on the other side of a socket the test device
of this project (`crates/lwm2m-client`) and, where it says so, a device on Eclipse Leshan's client library as well. What else
other implementations do with a server of ours is in `make interop`.

";

/// Who played a case.
fn peers(played: &[Played], id: &str) -> String {
    let peers = played
        .iter()
        .filter(|played| played.id == id && !matches!(played.outcome, Outcome::NotPlayed(_)))
        .map(|played| played.peer);
    peers.collect::<Vec<_>>().join(", ")
}

const RULES: &str = "
## Rules

What servers get wrong most often, each with the tests that hold this one to it. They ran with this page, besides in
`make test`.

| id | rule | result | shown by |
|---|---|---|---|
";

/// Writes the page.
pub(crate) fn write(cases: &[Case], played: &[Played], judged: &[Judged]) {
    // A case has failed if it did with anybody.
    let outcome = |case: &Case| {
        let mut found = played.iter().filter(|played| played.id == case.id);
        let first = &found.next().unwrap().outcome;
        let failed = found.map(|played| &played.outcome);
        failed.fold(first, |first, next| match next {
            Outcome::Failed(_) => next,
            Outcome::Passed | Outcome::NotPlayed(_) => first,
        })
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
    page += "| id | what | result | played by | why |\n|---|---|---|---|---|\n";
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
        let (id, what) = (case.id, case.what);
        let by = peers(played, id);
        writeln!(page, "| {id} | {what} | {result} | {by} | {why} |").unwrap();
    }
    page += RULES;
    for Judged { rule, missing } in judged {
        let result = if missing.is_empty() {
            "pass"
        } else {
            "**fail**"
        };
        let proofs: Vec<String> = rule.proofs.iter().map(Proof::shown).collect();
        let shown_by = proofs.join("<br>");
        writeln!(
            page,
            "| {} | {} | {result} | {shown_by} |",
            rule.id, rule.what
        )
        .unwrap();
    }
    std::fs::write("../docs/conformance.md", page).unwrap();
}
