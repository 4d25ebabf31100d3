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
use std::fmt::Write as _;
use std::time::Duration;
use tokio::runtime::Builder;

const UNIT: Duration = Duration::from_secs(1);

/// Makes every call of the search in every state of the store that it was made in, and brings every state to its end,
/// each on a store of its own. Returns how many ways that were, and how many steps.
///
/// # Errors
/// The shortest way on which the backend does something else.
pub(super) fn replay<B: IntoBackend>(
    graph: &Graph,
    scope: &Scope,
    factory: &impl AsyncFn() -> B,
) -> Result<(usize, usize), String> {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime starts");
    let calls = graph.calls.iter().map(|(node, chosen)| {
        let moves = [graph.way(*node), vec![*chosen]].concat();
        steps(&moves, scope).0
    });
    let ends = graph.ends.iter().map(|node| steps_to_the_end(&graph.way(*node), scope));
    let (mut ways, mut made) = (0, 0);
    for steps in calls.chain(ends) {
        ways += 1;
        made += steps.len();
        runtime.block_on(play(&steps, factory))?;
    }
    Ok((ways, made))
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
pub(super) fn numbered<T: std::fmt::Display>(steps: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for (n, step) in steps.into_iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:4}. {step}", n + 1);
    }
    text
}

/// What a backend sees of these events.
fn steps(moves: &[Move], scope: &Scope) -> (Vec<Step>, System) {
    let mut system = System::new();
    let mut steps = Vec::new();
    for chosen in moves {
        if matches!(chosen.event, Event::Pass | Event::PassAndMaintain) {
            steps.push(Step::Pass(1));
        }
        if let Some(asked) = system.asked(chosen.event) {
            steps.push(call(asked, scope));
        }
        system.make(*chosen, scope, None).expect("it went well the first time");
    }
    (steps, system)
}

fn steps_to_the_end(moves: &[Move], scope: &Scope) -> Vec<Step> {
    let (mut steps, system) = steps(moves, scope);
    let mut draining = false;
    let mut tell = |asked| {
        if asked == Asked::Maintain {
            steps.push(Step::Pass(1));
        }
        steps.push(call(asked, scope));
    };
    let done = drain(system, scope, None, &mut |_| true, &mut tell);
    draining |= done.expect("it went well the first time");
    debug_assert!(draining, "every state counts as new here");
    steps
}

fn call(asked: Asked, scope: &Scope) -> Step {
    Step::Call { call: asked.call(scope.unique), lost: false }
}
