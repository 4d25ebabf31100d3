//! Schedules that are part of a program, mistakes in them, and what nobody fires.

use crate::support::Act;
use crate::world::{QUEUE, Seen, World, every_minute, name};
use job_core::{JobContext, Missed, Overlap, Runtime, RuntimeBuilder, State};
use std::sync::Arc;
use std::time::Duration;
use steadfast::{job, jobs};

#[job(cron("* * * * *", overlap = skip), cron("30 * * * *", tz = "Europe/Berlin", missed = all(3), jitter = "5s"))]
async fn tidies_up(State(seen): State<Seen>, ctx: JobContext) {
    seen.note(&ctx);
}

/// The same type in a newer program.
#[job(name = "tidies_up")]
async fn tidies_up_unscheduled(State(seen): State<Seen>, ctx: JobContext) {
    seen.note(&ctx);
}

#[job(name = "tidies_up", cron("*/2 * * * *"))]
async fn tidies_up_later(State(seen): State<Seen>, ctx: JobContext) {
    seen.note(&ctx);
}

fn program(world: &World, seen: &Seen) -> RuntimeBuilder {
    Runtime::builder(Arc::clone(&world.store)).state(seen.clone())
}

#[tokio::test(start_paused = true)]
async fn the_schedules_of_an_attribute_come_with_its_type() {
    let world = World::at("2026-05-04T10:27:30Z");
    let seen = Seen::default();
    let running = program(&world, &seen).jobs(jobs![tidies_up]).build().expect("builds").start();
    world.until("2026-05-04T10:31:30Z").await;
    assert_eq!(seen.of("tidies_up").len(), 4);
    assert_eq!(seen.of("tidies_up.2"), ["2026-05-04T10:30:00Z"]);
    let listed = running.client().schedules(QUEUE).list().await.expect("list");
    assert!(listed.iter().all(|schedule| schedule.in_code), "{listed:?}");
    let second = &listed[1];
    assert_eq!((second.zone.as_str(), second.missed), ("Europe/Berlin", Missed::All { max: 3 }));
    assert_eq!((second.jitter, second.overlap), (Duration::from_secs(5), Overlap::Allow));
    assert_eq!(listed[0].overlap, Overlap::Skip);
    // Code that is there brings it back.
    assert!(running.client().schedules(QUEUE).remove(&name("tidies_up")).await.expect("remove"));
    world.until("2026-05-04T10:32:30Z").await;
    assert_eq!(seen.of("tidies_up").len(), 5);
    running.shutdown().await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn a_newer_program_takes_its_schedules_over() {
    let world = World::at("2026-05-04T10:00:30Z");
    let (old_seen, seen) = (Seen::default(), Seen::default());
    let old = program(&world, &old_seen).jobs(jobs![tidies_up]).only_queues(["default"]);
    let old = old.build().expect("builds").start();
    world.until("2026-05-04T10:02:30Z").await;
    let new = program(&world, &seen).jobs(jobs![tidies_up_later]).build().expect("builds").start();
    world.until("2026-05-04T10:08:30Z").await;
    let both = [old_seen.of("tidies_up"), seen.of("tidies_up")].concat();
    let mut minutes: Vec<_> = both.iter().map(|tick| tick[14..16].to_owned()).collect();
    minutes.sort_unstable();
    assert_eq!(
        minutes,
        ["01", "02", "04", "06", "08"],
        "the old program does not fire what is no longer its own"
    );
    old.shutdown().await.expect("ends");
    new.shutdown().await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_is_in_no_code_any_more_is_forgotten() {
    let world = World::at("2026-05-04T10:00:30Z");
    let seen = Seen::default();
    let old = program(&world, &seen).jobs(jobs![tidies_up]).build().expect("builds").start();
    world.until("2026-05-04T10:01:30Z").await;
    let new = program(&world, &seen).jobs(jobs![tidies_up_unscheduled]).build().expect("builds").start();
    world.until("2026-05-04T10:10:30Z").await;
    assert_eq!(seen.of("tidies_up").len(), 10, "the old program is still there and fires it");
    old.shutdown().await.expect("ends");
    world.until("2026-05-04T10:11:50Z").await;
    assert_eq!(seen.of("tidies_up").len(), 10, "nobody fires it");
    let names = async || -> Vec<String> {
        let listed = world.client().schedules(QUEUE).list().await.expect("list");
        listed.iter().map(|schedule| schedule.name.to_string()).collect()
    };
    assert_eq!(names().await, ["tidies_up", "tidies_up.2"], "it could still come back");
    world.until("2026-05-04T10:12:30Z").await;
    assert_eq!(names().await, ["tidies_up.2"]);
    world.until("2026-05-04T10:32:00Z").await;
    assert_eq!(names().await, [""; 0]);
    new.shutdown().await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn what_a_program_no_longer_declares_does_not_fire() {
    let world = World::at("2026-05-04T10:00:30Z");
    let seen = Seen::default();
    let with = seen.runtime(&world.store, Duration::ZERO).schedule(every_minute("s"), Act { n: 1 });
    let with = with.build().expect("builds").start();
    world.until("2026-05-04T10:01:30Z").await;
    with.shutdown().await.expect("ends");
    let without = seen.runtime(&world.store, Duration::ZERO).build().expect("builds").start();
    world.until("2026-05-04T10:30:30Z").await;
    assert_eq!(seen.of("s").len(), 1);
    let listed = world.client().schedules(QUEUE).list().await.expect("list");
    assert_eq!(listed.len(), 1, "it is there for people to see");
    without.shutdown().await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_nobody_fires_is_told() {
    let world = World::at("2026-05-04T10:00:30Z");
    let schedules = world.client().schedules(QUEUE);
    schedules.put(&every_minute("s"), &Act { n: 1 }).await.expect("put");
    schedules.put(&every_minute("paused"), &Act { n: 1 }).await.expect("put");
    assert!(schedules.pause(&name("paused")).await.expect("pause"));
    // It works on another queue.
    let watcher = Runtime::builder(Arc::clone(&world.store)).jobs(jobs![in_other_queue]);
    let watcher = watcher.build().expect("builds").start();
    let told = || watcher.alerts().iter().map(|alert| alert.key.clone()).collect::<Vec<_>>();
    world.until("2026-05-04T10:05:55Z").await;
    assert_eq!(told(), [""; 0]);
    world.until("2026-05-04T10:06:15Z").await;
    assert_eq!(told(), ["missed_schedule/default/act"]);
    let running = Seen::default().runtime(&world.store, Duration::ZERO).build().expect("builds").start();
    world.until("2026-05-04T10:06:40Z").await;
    assert_eq!(told(), [""; 0], "somebody fires it");
    world.until("2026-05-04T10:30:40Z").await;
    assert_eq!(told(), [""; 0], "nothing is said of what is paused");
    running.shutdown().await.expect("ends");
    watcher.shutdown().await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_reported_when_it_is_built() {
    let world = World::at("2026-05-04T10:00:30Z");
    let seen = Seen::default();
    let problems = |builder: RuntimeBuilder| builder.build().expect_err("a mistake").problems().join("\n");
    let twice = seen.runtime(&world.store, Duration::ZERO);
    let twice = twice.schedule(every_minute("s"), Act { n: 1 }).schedule(every_minute("s"), Act { n: 2 });
    assert!(problems(twice).contains("schedule s is declared twice"));
    let never = every_minute("s").missed(Missed::All { max: 0 });
    let never = seen.runtime(&world.store, Duration::ZERO).schedule(never, Act { n: 1 });
    assert!(problems(never).contains("1 to 1000"));
    let elsewhere = program(&world, &seen).jobs(jobs![tidies_up_unscheduled]);
    let elsewhere = elsewhere.schedule(every_minute("s"), InOtherQueue {});
    assert!(problems(elsewhere).contains("queue other, on which this runtime does not work"));
}

#[job(queue = "other")]
async fn in_other_queue() {}
