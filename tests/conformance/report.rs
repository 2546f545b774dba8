//! `docs/conformance.md`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::cases::{Case, Why};
use crate::rules::{Proof, Rule, Test};

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
            let passed = |case: &Played| case.id == *id && matches!(case.outcome, Outcome::Passed);
            (!cases.iter().any(passed)).then_some(*id)
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
said to pass was played, with the test device of this project (`crates/lwm2m-client`) on the other side of a UDP socket, and
the server's part done from the command line. What other implementations play is in `make interop`.

";

const RULES: &str = "
## Rules

What servers get wrong most often, each with the tests that hold this one to it. They ran with this page, besides in
`make test`.

| id | rule | result | shown by |
|---|---|---|---|
";

/// Writes the page.
pub(crate) fn write(cases: &[Case], played: &[Played], judged: &[Judged]) {
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
