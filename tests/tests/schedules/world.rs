//! A store with a clock of its own, and what handlers saw.
#![allow(unreachable_pub, reason = "shared by the files of this test")]

use crate::support::{self, Script, runtime};
use backend_memory::MemoryBackend;
use jiff::{SignedDuration, Timestamp};
use job_core::{Client, JobContext, Operate, QueueName, RuntimeBuilder, Schedule, ScheduleName};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub const QUEUE: QueueName = support::QUEUE;

pub fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

pub fn name(text: &str) -> ScheduleName {
    ScheduleName::new(text).expect("a name")
}

pub fn every_minute(name: &str) -> Schedule {
    Schedule::new(name, "* * * * *").expect("good")
}

/// A store whose clock shows this now, and that clock.
pub struct World {
    pub store: Arc<dyn Operate>,
    pub began: Instant,
    pub shows: Timestamp,
}

impl World {
    pub fn at(now: &str) -> Self {
        let store = Arc::new(MemoryBackend::starting_at(at(now)));
        Self { store, began: Instant::now(), shows: at(now) }
    }

    pub fn now(&self) -> Timestamp {
        self.shows + SignedDuration::try_from(self.began.elapsed()).expect("short")
    }

    pub fn client(&self) -> Client {
        Client::new(Arc::clone(&self.store))
    }

    pub async fn until(&self, time: &str) {
        let wait = at(time).duration_since(self.now());
        sleep(Duration::try_from(wait).expect("later")).await;
    }
}

/// The ticks that handlers saw, and when they began.
#[derive(Debug, Default, Clone)]
pub struct Seen(Arc<Mutex<Vec<(String, Timestamp, Instant)>>>);

impl Seen {
    pub fn note(&self, ctx: &JobContext) {
        let tick = ctx.scheduled_for().expect("a tick");
        let schedule = ctx.schedule().expect("a schedule").to_owned();
        self.0.lock().expect("no panic").push((schedule, tick, Instant::now()));
    }

    /// The ticks of a schedule.
    pub fn of(&self, schedule: &str) -> Vec<String> {
        let seen = self.0.lock().expect("no panic");
        seen.iter().filter(|(name, ..)| name == schedule).map(|(_, tick, _)| tick.to_string()).collect()
    }

    /// How long after its tick each run began.
    pub fn delays(&self, world: &World) -> Vec<Duration> {
        let of = |(_, tick, began): &(String, Timestamp, Instant)| {
            let since = SignedDuration::try_from(began.duration_since(world.began)).expect("short");
            Duration::try_from((world.shows + since).duration_since(*tick)).expect("not early")
        };
        self.0.lock().expect("no panic").iter().map(of).collect()
    }

    /// A runtime whose handler notes what it sees, and takes so long.
    pub fn runtime(&self, store: &Arc<dyn Operate>, takes: Duration) -> RuntimeBuilder {
        let seen = self.clone();
        let script = Script::new(move |_, ctx| {
            seen.note(&ctx);
            async move {
                sleep(takes).await;
                Ok(())
            }
        });
        runtime(Arc::clone(store), script)
    }
}
