//! Fleets of devices, each bad in a way of its own, under whatever happens: what the ledger says is what the devices know.

use std::time::Duration;

use device_state::campaign::{Failure, Phase, SkipReason, Sweep};
use device_state::{Command, query};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::gadget::{Gadget, Oddity};
use super::{ID, VERSION, admit, begun, ledger, part, phase};
use crate::world::{World, endpoint};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// A device does what is asked of it, or time passes on it.
    Play(usize),
    /// A device takes what is asked of it and does it, and its answer is lost.
    LoseAnswer(usize),
    /// What is sent to a device does not get there.
    LoseRequest(usize),
    /// A device registers though nothing happened.
    Register(usize),
    Admit(u64),
    Wait(u64),
    Halt,
}

fn gadget() -> impl Strategy<Value = Gadget> {
    let oddity = of(select(vec![
        Oddity::NoObject,
        Oddity::NeverNotifies,
        Oddity::ForgetsResult,
        Oddity::RefusesOrder,
        Oddity::SitsOnIt,
    ]));
    (
        oddity,
        prop_oneof![3 => Just(None), 1 => (2..=9_u8).prop_map(Some)],
        prop_oneof![Just(1_u32), Just(u32::MAX)],
        of(any::<bool>()),
        prop_oneof![4 => Just(VERSION), 1 => Just("1.9")],
        (0..3_i64, 0..9_i64),
    )
        .prop_map(
            |(oddity, fails_with, failures_left, loses_orders, installs, (state, result))| Gadget {
                installs,
                state,
                result,
                oddity,
                fails_with,
                failures_left,
                loses_orders,
                ..Gadget::new("a")
            },
        )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = || 0..NAMES.len();
    let step = prop_oneof![
        12 => at().prop_map(Step::Play),
        1 => at().prop_map(Step::LoseAnswer),
        1 => at().prop_map(Step::LoseRequest),
        1 => at().prop_map(Step::Register),
        2 => (1..5_u64).prop_map(Step::Admit),
        2 => prop_oneof![1..120_u64, Just(7_200), Just(90_000)].prop_map(Step::Wait),
    ];
    let ending = prop_oneof![3 => Just(None), 1 => Just(Some(Step::Halt))];
    (vec(step, 1..120), ending).prop_map(|(mut steps, ending)| {
        steps.extend(ending);
        steps
    })
}

fn take(world: &mut World, gadgets: &mut [Gadget], step: &Step) {
    world.advance(Duration::from_millis(200));
    match step {
        Step::Play(at) => gadgets[*at].turn(world),
        Step::LoseAnswer(at) => gadgets[*at].lose(world, Lost::Answer),
        Step::LoseRequest(at) => gadgets[*at].lose(world, Lost::Request),
        Step::Register(at) => gadgets[*at].register(world),
        Step::Admit(until) => admit(world, ID, 0, *until),
        Step::Wait(seconds) => {
            world.advance(Duration::from_secs(*seconds));
            world.expire();
        }
        Step::Halt => {
            for _ in 0..4 {
                world.run(Command::HaltCampaign { id: ID, limit: 2 });
            }
        }
    }
}

/// What of an exchange does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    Request,
    Answer,
}

/// What the ledger says of a device has to be what the device knows of itself.
fn agree(gadget: &Gadget, phase: Phase) -> Result<(), TestCaseError> {
    prop_assert!(gadget.installed <= 1, "{} installed twice", gadget.name);
    let has_it = gadget.version == VERSION;
    match phase {
        Phase::Succeeded => prop_assert!(has_it),
        Phase::Waiting | Phase::Scheduled | Phase::Offered => {
            prop_assert_eq!(gadget.installed, 0);
        }
        // A device without the object cannot have got it.
        Phase::Skipped(SkipReason::Unsupported) => {
            prop_assert_eq!(gadget.oddity, Some(Oddity::NoObject));
        }
        Phase::Skipped(SkipReason::UpToDate) => prop_assert!(has_it),
        Phase::Failed(Failure::UpdateResult(result)) => {
            prop_assert_eq!(gadget.fails_with, Some(result));
            prop_assert!(!has_it);
        }
        Phase::Failed(Failure::VersionMismatch) => prop_assert!(!has_it),
        // What was told to install is followed to its end.
        Phase::Cancelled => prop_assert_eq!(gadget.installed, 0),
        _ => {}
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_ledger_agrees_with_the_devices_and_nobody_installs_twice(
        gadgets in vec(gadget(), NAMES.len()),
        steps in steps(),
    ) {
        let mut world = begun(part(ID), &NAMES);
        let mut gadgets: Vec<Gadget> = NAMES
            .iter()
            .zip(gadgets)
            .map(|(name, gadget)| Gadget { name, ..gadget })
            .collect();
        for step in &steps {
            take(&mut world, &mut gadgets, step);
            for gadget in &gadgets {
                agree(gadget, phase(&world, gadget.name))?;
            }
        }
        let halted = query::campaign_part(&world.tables, ID).unwrap().halt != Sweep::NotBegun;
        if !halted {
            admit(&mut world, ID, 1, u64::MAX);
        }
        for gadget in &mut gadgets {
            gadget.play(&mut world);
            let end = ledger(&world, gadget.name).phase;
            prop_assert!(end.is_final(), "{:?}", end);
            agree(gadget, end)?;
            prop_assert!(query::observations(&world.tables, &endpoint(gadget.name)).is_empty());
        }
        prop_assert_eq!(query::counters(&world.tables).campaign_devices, 0);
    }
}
