//! Exhaustive search: every state that two jobs and two workers can get into within nine events, with every fault.

mod drain;
mod explore;
mod replay;
mod scope;
mod shape;
mod step;
mod store;
mod system;
#[cfg(test)]
mod tests;
mod witness;

use explore::{Wrong, explore};
use job_core::IntoBackend;
use replay::{numbered, replay};
use scope::{SCOPES, Scope};
use std::env;
use std::thread;
use std::time::Instant;
use step::Asked;
use store::Defect;
use system::System;

/// How many events after another a search looks at in half a minute.
pub const DEPTH: usize = 9;

/// Searches every state of the model that can be reached in `depth` events, and makes every call that it met, in every
/// state of the store that it met it in, on a store of its own from `factory`. For stores that live by tokio's clock.
/// `SEARCH_DEPTH` overrides `depth`.
///
/// # Panics
/// If an invariant does not hold in the model, or the backend does something else than the model: with the shortest
/// sequence of steps that shows it.
pub fn search<B: IntoBackend>(depth: usize, factory: impl AsyncFn() -> B + Sync) {
    let depth = env::var("SEARCH_DEPTH").map_or(depth, |text| {
        text.parse().unwrap_or_else(|_| panic!("SEARCH_DEPTH must be a number, not {text:?}"))
    });
    let failures: Vec<String> = thread::scope(|threads| {
        let searches = SCOPES.map(|scope| {
            let factory = &factory;
            threads.spawn(move || search_one(&scope, depth, factory))
        });
        searches.into_iter().filter_map(|one| one.join().expect("a search tells its failure").err()).collect()
    });
    if let Some(failure) = failures.first() {
        panic!("{failure}");
    }
}

fn search_one<B: IntoBackend>(
    scope: &Scope,
    depth: usize,
    factory: &impl AsyncFn() -> B,
) -> Result<(), String> {
    let began = Instant::now();
    let graph = explore(scope, depth, true, None).map_err(|wrong| report(&wrong, scope, None))?;
    let searched = began.elapsed();
    let replayed = replay(&graph, scope, factory)?;
    println!(
        "{}: {} states and {} edges to depth {depth} in {searched:.1?} (new states: {:?}); {} calls in different states \
         of the store and {} ends replayed as {replayed}, after {:.1?}",
        scope.name,
        graph.states(),
        graph.edges,
        graph.levels,
        graph.calls.len(),
        graph.ends.len(),
        began.elapsed(),
    );
    Ok(())
}

/// A failure as a list of steps.
fn report(wrong: &Wrong, scope: &Scope, defect: Option<&Defect>) -> String {
    let mut system = System::new();
    let mut lines = Vec::new();
    for chosen in &wrong.moves {
        lines.push(system.describe(chosen.event, scope));
        // The last one is what goes wrong.
        let _ = system.make(*chosen, scope, defect);
    }
    if !wrong.ending.is_empty() {
        lines.push("nothing goes wrong any more, and the workers start anew".into());
    }
    for asked in &wrong.ending {
        let passes = if *asked == Asked::Maintain { "1 unit passes, " } else { "" };
        lines.push(format!("{passes}{}", asked.call(scope.unique)));
    }
    format!("the store breaks the contract:\n{}{}", numbered(lines), wrong.what)
}
