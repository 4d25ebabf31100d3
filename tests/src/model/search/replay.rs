//! What the search found out about the reference, held against a backend.

use super::drain::drain;
use super::explore::Graph;
use super::scope::Scope;
use super::step::{Asked, Event, Move};
use super::system::System;
use crate::model::call::Step;
use crate::model::driver::{Checked, Driver, Stop};
use crate::model::reference::Reference;
use crate::model::time::Timeline;
use crate::model::world::World;
use job_core::IntoBackend;
use std::fmt::{self, Write as _};
use std::time::Duration;
use tokio::runtime::Builder;

const UNIT: Duration = Duration::from_secs(1);

/// Two calls in a row are tried in states found at least so many events before the last.
const EARLIER: usize = 4;

/// How much was replayed.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    ways: usize,
    steps: usize,
}

/// Makes every call of the search in every state of the store that it was made in, and brings every state to its end,
/// each on a store of its own.
///
/// What a call has done may be nothing that the model can see, and wrong all the same: an extension that only seems to
/// be made leaves the model in a state that it knows. So in the earlier states every other call is made after it.
///
/// # Errors
/// A short way on which the backend does something else.
pub(super) fn replay<B: IntoBackend>(
    graph: &Graph,
    scope: &Scope,
    factory: &impl AsyncFn() -> B,
) -> Result<Replayed, String> {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime starts");
    let mut replayed = Replayed::default();
    let mut play = |steps: &[Step]| {
        replayed.ways += 1;
        replayed.steps += steps.len();
        runtime.block_on(play(steps, factory))
    };
    let early: usize = graph.levels.iter().rev().skip(EARLIER).sum();
    for (node, chosen) in &graph.calls {
        let moves = [graph.way(*node), vec![*chosen]].concat();
        let (steps, system) = steps(&moves, scope);
        play(&steps)?;
        if (*node as usize) >= early {
            continue;
        }
        for next in system.moves(scope) {
            if let Some(next) = steps_of(&system, next, scope) {
                play(&[&steps[..], &next].concat())?;
            }
        }
    }
    for node in &graph.ends {
        play(&steps_to_the_end(&graph.way(*node), scope))?;
    }
    Ok(replayed)
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ways with {} steps", self.ways, self.steps)
    }
}

async fn play<B: IntoBackend>(steps: &[Step], factory: &impl AsyncFn() -> B) -> Result<(), String> {
    let backend = factory().await.into_backend();
    let mut driver = Driver {
        world: World::new(backend),
        reference: Reference::default(),
        time: Timeline::start(UNIT, true),
    };
    for (n, step) in steps.iter().enumerate() {
        told(driver.step(step).await, &steps[..=n])?;
    }
    // What is seen on the way is seen at the end of a shorter way.
    told(driver.compare().await, steps)
}

fn told(checked: Checked<()>, steps: &[Step]) -> Result<(), String> {
    let what = match checked {
        Ok(()) => return Ok(()),
        Err(Stop::Wrong(what)) => what,
        Err(Stop::Late) => "a call took longer than a paused clock allows".into(),
    };
    Err(format!("the backend breaks the contract:\n{}{what}", numbered(steps)))
}

/// The steps as a list.
pub(super) fn numbered<T: fmt::Display>(steps: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for (n, step) in steps.into_iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:4}. {step}", n + 1);
    }
    text
}

/// What a backend sees of these events, and what they lead to.
fn steps(moves: &[Move], scope: &Scope) -> (Vec<Step>, System) {
    let mut system = System::new();
    let mut steps = Vec::new();
    for chosen in moves {
        match steps_of(&system, *chosen, scope) {
            Some(seen) => steps.extend(seen),
            None if chosen.event == Event::Pass => steps.push(Step::Pass(1)),
            None => {}
        }
        system.make(*chosen, scope, None).expect("it went well the first time");
    }
    (steps, system)
}

/// The call in an event, if there is one.
fn steps_of(system: &System, chosen: Move, scope: &Scope) -> Option<Vec<Step>> {
    let call = call(system.asked(chosen.event)?, scope);
    Some(if chosen.event == Event::PassAndMaintain { vec![Step::Pass(1), call] } else { vec![call] })
}

fn steps_to_the_end(moves: &[Move], scope: &Scope) -> Vec<Step> {
    let (mut steps, system) = steps(moves, scope);
    let mut tell = |asked| {
        if asked == Asked::Maintain {
            steps.push(Step::Pass(1));
        }
        steps.push(call(asked, scope));
    };
    let done = drain(system, scope, None, &mut |_| true, &mut tell);
    debug_assert!(done.expect("it went well the first time"), "every state counts as new here");
    steps
}

fn call(asked: Asked, scope: &Scope) -> Step {
    Step::Call { call: asked.call(scope.unique), lost: false }
}
