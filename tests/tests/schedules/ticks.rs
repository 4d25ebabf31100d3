//! Ticks: when they come, once, and what becomes of those that are missed or meet a run.

use crate::support::{Act, Fault, Faulty, Script, runtime, until};
use crate::world::{QUEUE, Seen, World, every_minute, name};
use job_core::{JobState, ListFilter, Missed, Operate, Overlap, Schedule};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_tick_starts_within_100_ms_and_once_in_any_number_of_processes() {
    let world = World::at("2026-05-04T10:00:20.3Z");
    let seen = Seen::default();
    let runtimes: Vec<_> = (0..5)
        .map(|seed| {
            let builder = seen.runtime(&world.store, Duration::ZERO).seed(seed);
            builder.schedule(every_minute("minutely"), Act { n: 1 }).build().expect("builds").start()
        })
        .collect();
    world.until("2026-05-04T10:30:30Z").await;
    let ticks: Vec<String> = (1..=30).map(|m| format!("2026-05-04T10:{m:02}:00Z")).collect();
    assert_eq!(seen.of("minutely"), ticks);
    let delays = seen.delays(&world);
    assert!(delays.iter().all(|delay| *delay <= Duration::from_millis(100)), "{delays:?}");
    for runtime in runtimes {
        runtime.shutdown().await.expect("ends");
    }
}

/// What three hours without a process leave of a schedule that comes every half an hour.
async fn made_up_for(missed: Missed) -> Vec<String> {
    let world = World::at("2026-05-04T10:00:01Z");
    let schedules = world.client().schedules(QUEUE);
    let half_hourly = Schedule::new("s", "*/30 * * * *").expect("good").missed(missed);
    schedules.put(&half_hourly, &Act { n: 1 }).await.expect("put");
    world.until("2026-05-04T13:10:00Z").await;
    let seen = Seen::default();
    let running = seen.runtime(&world.store, Duration::ZERO).build().expect("builds").start();
    world.until("2026-05-04T13:31:00Z").await;
    running.shutdown().await.expect("ends");
    let mut ticks = seen.of("s");
    assert_eq!(ticks.pop().as_deref(), Some("2026-05-04T13:30:00Z"), "it goes on");
    ticks
}

#[tokio::test(start_paused = true)]
async fn missed_ticks_are_made_up_for_as_the_schedule_says() {
    assert_eq!(made_up_for(Missed::skip()).await, [""; 0]);
    let quarter = Duration::from_secs(900);
    assert_eq!(made_up_for(Missed::Skip { grace: quarter }).await, ["2026-05-04T13:00:00Z"]);
    assert_eq!(made_up_for(Missed::Once).await, ["2026-05-04T13:00:00Z"]);
    assert_eq!(
        made_up_for(Missed::All { max: 3 }).await,
        ["2026-05-04T12:00:00Z", "2026-05-04T12:30:00Z", "2026-05-04T13:00:00Z"]
    );
    assert_eq!(made_up_for(Missed::All { max: 100 }).await.len(), 6);
}

/// The seconds of the ticks that run when one comes every ten seconds, and each run takes 24.
async fn overlapping(overlap: Overlap) -> Vec<String> {
    let world = World::at("2026-05-04T10:00:05Z");
    let seen = Seen::default();
    let often = Schedule::new("s", "*/10 * * * * *").expect("good").overlap(overlap);
    let builder = seen.runtime(&world.store, Duration::from_secs(24)).schedule(often, Act { n: 1 });
    let running = builder.build().expect("builds").start();
    world.until("2026-05-04T10:01:25Z").await;
    drop(running);
    seen.of("s").iter().map(|tick| tick[15..19].to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn runs_overlap_as_the_schedule_says() {
    let all = ["0:10", "0:20", "0:30", "0:40", "0:50", "1:00", "1:10", "1:20"];
    assert_eq!(overlapping(Overlap::Allow).await[..4], all[..4], "as many as there are handlers");
    assert_eq!(overlapping(Overlap::Skip).await, ["0:10", "0:40", "1:10"]);
    assert_eq!(overlapping(Overlap::Queue).await, ["0:10", "0:30", "0:50", "1:20"]);
}

#[tokio::test(start_paused = true)]
async fn jitter_delays_a_run_the_same_whoever_fires_it() {
    let mut all = Vec::new();
    for seed in 0..2 {
        let world = World::at("2026-05-04T10:00:30Z");
        let seen = Seen::default();
        let spread = every_minute("s").jitter(Duration::from_secs(40)).expect("short");
        let builder = seen.runtime(&world.store, Duration::ZERO).seed(seed);
        let running = builder.schedule(spread, Act { n: 1 }).build().expect("builds").start();
        world.until("2026-05-04T10:20:50Z").await;
        running.shutdown().await.expect("ends");
        let delays: Vec<u64> = seen.delays(&world).iter().map(|d| d.as_secs()).collect();
        assert_eq!(delays.len(), 20);
        assert!(delays.iter().all(|d| *d <= 41) && delays.iter().any(|d| *d > 10), "{delays:?}");
        all.push(delays);
    }
    let same = all[0].iter().zip(&all[1]).filter(|(one, other)| one.abs_diff(**other) <= 1).count();
    assert_eq!(same, 20, "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn clocks_that_jump_lose_no_run_and_repeat_none() {
    let night = Schedule::new("night", "30 2 * * *").expect("good").tz("Europe/Berlin").expect("a zone");
    let mut runs = Vec::new();
    for (from, to) in
        [("2026-03-29T00:10:00Z", "2026-03-29T02:10:00Z"), ("2026-10-25T00:10:00Z", "2026-10-25T02:10:00Z")]
    {
        let world = World::at(from);
        let seen = Seen::default();
        let builder = seen.runtime(&world.store, Duration::ZERO).poll_max(Duration::from_secs(60));
        let running = builder.schedule(night.clone(), Act { n: 1 }).build().expect("builds").start();
        world.until(to).await;
        running.shutdown().await.expect("ends");
        runs.extend(seen.of("night"));
    }
    assert_eq!(runs, ["2026-03-29T01:00:00Z", "2026-10-25T00:30:00Z"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_changed_at_run_time_holds_within_2_s() {
    let world = World::at("2026-05-04T10:00:30Z");
    let seen = Seen::default();
    let running = seen.runtime(&world.store, Duration::ZERO).build().expect("builds").start();
    let schedules = running.client().schedules(QUEUE);
    world.until("2026-05-04T10:00:57.9Z").await;
    schedules.put(&every_minute("s"), &Act { n: 1 }).await.expect("put");
    let listed = schedules.list().await.expect("list").remove(0);
    let next: Vec<String> = listed.next.iter().map(ToString::to_string).collect();
    assert_eq!(next, (1..=5).map(|m| format!("2026-05-04T10:0{m}:00Z")).collect::<Vec<_>>());
    assert_eq!((listed.kind.expect("known").as_str(), listed.in_code, listed.paused), ("act", false, false));
    world.until("2026-05-04T10:02:30Z").await;
    assert_eq!(seen.of("s").len(), 2);

    assert!(schedules.pause(&name("s")).await.expect("pause"));
    assert_eq!(schedules.list().await.expect("list")[0].next, [], "paused");
    world.until("2026-05-04T10:05:57.9Z").await;
    assert!(schedules.resume(&name("s")).await.expect("resume"));
    world.until("2026-05-04T10:06:30Z").await;
    assert_eq!(seen.of("s")[2..], ["2026-05-04T10:06:00Z"], "nothing of the pause is made up for");

    let hourly = Schedule::new("s", "@hourly").expect("good");
    schedules.put(&hourly, &Act { n: 1 }).await.expect("put");
    assert!(schedules.run_now(&name("s")).await.expect("run").is_some_and(|answer| !answer.deduplicated));
    world.until("2026-05-04T11:00:30Z").await;
    assert_eq!(seen.of("s").len(), 5, "the changed schedule, and the run that was asked for");

    assert!(schedules.remove(&name("s")).await.expect("remove"));
    assert!(!schedules.remove(&name("s")).await.expect("remove"));
    assert_eq!(schedules.run_now(&name("s")).await.expect("nothing"), None);
    world.until("2026-05-04T12:00:30Z").await;
    assert_eq!(seen.of("s").len(), 5);
    running.shutdown().await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn lost_answers_and_outages_fire_no_tick_twice() {
    let world = World::at("2026-05-04T10:00:30Z");
    let seen = Seen::default();
    let calls = Arc::new(Mutex::new(0_u32));
    let faulty = |store: &Arc<dyn Operate>| {
        let calls = Arc::clone(&calls);
        Faulty::over(Arc::clone(store), move |operation| {
            if !["fire", "schedules", "put_schedules"].contains(&operation) {
                return Fault::None;
            }
            let mut calls = calls.lock().expect("no panic");
            *calls += 1;
            match *calls % 7 {
                0 | 3 => Fault::AnswerLost,
                2 => Fault::NotApplied(job_core::ErrorKind::Transient),
                5 => Fault::Late(Duration::from_secs(2)),
                _ => Fault::None,
            }
        })
    };
    let start = |_| {
        let store = faulty(&world.store);
        let builder = seen.runtime(&store, Duration::ZERO);
        builder.schedule(every_minute("s"), Act { n: 1 }).build().expect("builds").start()
    };
    let runtimes: Vec<_> = (0..3).map(start).collect();
    world.until("2026-05-04T10:40:59Z").await;
    let ticks: Vec<String> = (1..=40).map(|m| format!("2026-05-04T10:{m:02}:00Z")).collect();
    let mut ran = seen.of("s");
    ran.sort_unstable();
    assert_eq!(ran, ticks);
    drop(runtimes);
}

#[tokio::test(start_paused = true)]
async fn arguments_are_stored_sealed_and_reach_the_handler() {
    let keys = job_core::Keyring::new("k", job_core::SecretKey::new([7; 32])).expect("a key");
    let world = World::at("2026-05-04T10:00:30Z");
    let arguments = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&arguments);
    let script = Script::new(move |n, _| {
        noted.lock().expect("no panic").push(n);
        async { Ok(()) }
    });
    let builder =
        runtime(Arc::clone(&world.store), script).middleware(job_core::Encryption::new(keys).require());
    let builder = builder.schedule(every_minute("in-code"), Act { n: 123_456 });
    let running = builder.build().expect("builds").start();
    let schedules = running.client().schedules(QUEUE);
    schedules.put(&every_minute("stored"), &Act { n: 654_321 }).await.expect("put");
    let stored = format!("{:?}", world.store.schedules(&QUEUE).await.expect("schedules"));
    world.until("2026-05-04T10:02:30Z").await;
    assert!(schedules.run_now(&name("stored")).await.expect("run").is_some());
    until("all have run", async || arguments.lock().expect("no panic").len() == 5).await;
    let mut ran = arguments.lock().expect("no panic").clone();
    ran.sort_unstable();
    assert_eq!(ran, [123_456, 123_456, 654_321, 654_321, 654_321]);
    let later = format!("{:?}", world.store.schedules(&QUEUE).await.expect("schedules"));
    for text in [stored, later] {
        assert!(!text.contains("654321") && !text.contains("123456"), "{text}");
    }
    running.shutdown().await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_nobody_handles_waits() {
    let world = World::at("2026-05-04T10:00:30Z");
    let schedules = world.client().schedules(QUEUE);
    let stranger = job_core::NewJob::new(job_core::Kind::from_static("stranger"), QUEUE, "{}");
    schedules.put_new(&every_minute("s").overlap(Overlap::Skip), &stranger).await.expect("put");
    let running = Seen::default().runtime(&world.store, Duration::ZERO).build().expect("builds").start();
    world.until("2026-05-04T10:03:30Z").await;
    let ready = world.store.list(&ListFilter::new(QUEUE, JobState::Ready)).await.expect("list").jobs;
    assert_eq!(ready.len(), 1, "one waits, and with it the ticks that may not overlap");
    running.shutdown().await.expect("ends");
}
