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
use store::Defect;
use system::System;

/// How many events after another are looked at, unless `SEARCH_DEPTH` says otherwise.
const DEPTH: usize = 9;

/// Searches every state of the model, and makes every call that it met in every state of the store that it met it in
/// on a store of its own, made by `factory`. For stores that live by tokio's clock.
///
/// # Panics
/// If an invariant does not hold in the model, or the backend does something else than the model: with the shortest
/// sequence of steps that shows it.
pub fn search<B: IntoBackend>(factory: impl AsyncFn() -> B + Sync) {
    let depth = env::var("SEARCH_DEPTH").map_or(DEPTH, |text| {
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

fn search_one<B: IntoBackend>(scope: &Scope, depth: usize, factory: &impl AsyncFn() -> B) -> Result<(), String> {
    let began = Instant::now();
    let graph = explore(scope, depth, None).map_err(|wrong| report(&wrong, scope, None))?;
    let searched = began.elapsed();
    let (ways, steps) = replay(&graph, scope, factory)?;
    println!(
        "{}: {} states and {} edges to depth {depth} in {searched:.1?} (new states: {:?}); {} calls in different states \
         of the store and {} ends replayed as {ways} ways with {steps} steps, after {:.1?}",
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
    format!("the store breaks the contract:\n{}{}", numbered(lines), wrong.what)
}
