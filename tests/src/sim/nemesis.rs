//! The course of a simulation: trouble, then healing, then the end.

use super::job::QUEUE;
use super::outcome::Outcome;
use super::world::World;
use crate::judge::{Dump, Kept};
use job_core::{JobState, ListFilter, Operate, QueueStats};
use rand::RngExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long jobs may take to end once nothing goes wrong any more.
const TO_END: Duration = Duration::from_secs(60);
const WORKERS_MAX: usize = 4;

/// A whole run.
pub(super) async fn play(seed: u64, trouble: Duration, world: &mut World) -> Outcome {
    for _ in 0..world.plan.random_range(1..=3) {
        world.start_worker();
    }
    for _ in 0..2 {
        world.start_producer();
    }
    let end = Instant::now() + trouble;
    while Instant::now() < end {
        sleep(Duration::from_millis(world.plan.random_range(50..1_500))).await;
        strike(world).await;
    }
    recover(world);
    let mut complaints = world.settle_down().await;
    if let Some(left) = until_empty(world).await {
        complaints.push(format!("{left} jobs had not ended {TO_END:?} after all trouble"));
    }
    complaints.extend(world.shut_down().await);
    let dump = dump(world.chaos.store()).await;
    Outcome::judge(seed, world, &dump, complaints)
}

/// Does one bad thing, or starts somebody who was missed.
async fn strike(world: &mut World) {
    match world.plan.random_range(0..20) {
        0..5 => world.crash_worker(),
        5..7 => world.stop_worker(),
        7..10 => world.cut_worker(),
        10..12 => world.freeze().await,
        12 => world.replace_producer(),
        _ if world.workers.len() < WORKERS_MAX => world.start_worker(),
        _ => {}
    }
}

/// Ends the trouble. Whoever is left has to manage alone, or gets help, or is replaced.
fn recover(world: &mut World) {
    let how = world.plan.random_range(0..3);
    if how == 2 {
        while !world.workers.is_empty() {
            world.crash_worker();
        }
    }
    world.heal();
    if how > 0 || world.workers.is_empty() {
        world.start_worker();
        world.start_worker();
    }
}

/// Waits until every job has ended; returns how many have not when time is up.
async fn until_empty(world: &World) -> Option<u64> {
    let deadline = Instant::now() + TO_END;
    loop {
        let left = pending(&stats(world.chaos.store()).await);
        if left == 0 {
            return None;
        }
        if Instant::now() >= deadline {
            return Some(left);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn stats(store: &Arc<dyn Operate>) -> QueueStats {
    store.stats(&QUEUE).await.expect("the store answers")
}

fn pending(stats: &QueueStats) -> u64 {
    stats.ready + stats.running + stats.scheduled + stats.retrying
}

/// What the store has in the end.
async fn dump(store: &Arc<dyn Operate>) -> Dump {
    let stats = stats(store).await;
    let mut dump = Dump { pending: pending(&stats), dead: stats.dead, ..Dump::default() };
    for state in JobState::ALL {
        let mut filter = ListFilter::new(QUEUE, state);
        filter.limit = 1_000;
        loop {
            let page = store.list(&filter).await.expect("the store answers");
            dump.jobs.extend(page.jobs.iter().map(|j| Kept {
                job: j.id,
                state: j.state,
                reason: j.dead_reason,
            }));
            filter.after = page.next;
            if filter.after.is_none() {
                break;
            }
        }
    }
    dump
}
