//! Claimer, settler, jobs and a shutdown at once, in every order that the locks of a queue allow. No timer ever fires
//! here: whoever is not told waits for ever, and that is a deadlock, which fails the test.

mod shelf;

use super::claimer::ClaimerState;
use super::core::Nudge;
use super::settler::SettlerState;
use super::shared::{Bell, QueueShared};
use super::{Runtime, shutdown};
use crate::{Job, JobContext, JobError, JobSpec, Kind, Queue, Registration};
use schedules::{many, some_schedule_breaks};
use serde::{Deserialize, Serialize};
use shelf::Shelf;
use shuttle::future::block_on;
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::sync::{Mutex, mpsc};
use shuttle::thread::{self, JoinHandle};
use std::future::pending;
use std::sync::{Arc, LazyLock};

const MANY: usize = 4_000;

#[derive(Serialize, Deserialize)]
struct Quick {}

impl Job for Quick {
    fn spec() -> &'static JobSpec {
        static SPEC: LazyLock<JobSpec> =
            LazyLock::new(|| JobSpec { timeout: None, ..JobSpec::new(Kind::from_static("quick")) });
        &SPEC
    }

    async fn run(self, _: JobContext) -> Result<(), JobError> {
        Ok(())
    }
}

/// Timers can be made, and none fires: nobody drives this runtime.
fn with_clock(test: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _inside = runtime.enter();
    test();
}

/// A queue with two slots over a shelf of jobs.
fn queue_over(shelf: &Arc<Shelf>) -> Arc<QueueShared> {
    let runtime = Runtime::builder(Arc::clone(shelf))
        .jobs(vec![Registration::of::<Quick>()])
        .queue("default", Queue::concurrency(2))
        .build()
        .expect("nothing is wrong with it");
    Arc::clone(&runtime.queues[0])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ring {
    Work,
    Die,
}

/// An actor of its own making: the same state and the same calls, with a thread for a mailbox.
struct Actor {
    mailbox: Sender<Ring>,
    thread: JoinHandle<()>,
}

impl Actor {
    /// As `pre_start` of both actors.
    fn start(queue: &Arc<QueueShared>, role: Nudge) -> Self {
        restarted(queue, role);
        let (mailbox, inbox) = channel();
        queue.set_bell(role, bell(&mailbox));
        let _ = mailbox.send(Ring::Work);
        let queue = Arc::clone(queue);
        let thread = match role {
            Nudge::Settler => thread::spawn(move || settle(queue, &inbox)),
            _ => thread::spawn(move || claim(queue, &inbox)),
        };
        Self { mailbox, thread }
    }

    fn end(self) {
        let _ = self.mailbox.send(Ring::Die);
        self.thread.join().expect("no actor panics");
    }
}

fn bell(mailbox: &Sender<Ring>) -> Bell {
    let mailbox = Mutex::new(mailbox.clone());
    Bell::new(move || {
        let _ = mailbox.lock().expect("nobody panics").send(Ring::Work);
    })
}

fn restarted(queue: &QueueShared, role: Nudge) {
    match role {
        Nudge::Settler => queue.core().settler_restarted(),
        _ => queue.claimer_starts(),
    }
}

fn claim(queue: Arc<QueueShared>, inbox: &Receiver<Ring>) {
    let mut claimer = ClaimerState::new(queue);
    while inbox.recv() == Ok(Ring::Work) {
        let _ = block_on(claimer.claim(false));
    }
}

fn settle(queue: Arc<QueueShared>, inbox: &Receiver<Ring>) {
    let mut settler = SettlerState::new(queue);
    while inbox.recv() == Ok(Ring::Work) {
        let _ = block_on(settler.flush(false));
    }
}

/// Everything that was claimed is settled when the shutdown says so.
fn shut_down(shelf: &Shelf, queue: &Arc<QueueShared>) {
    let queues = [Arc::clone(queue)];
    let left = block_on(shutdown::end(&queues, &queue.env.timing, pending()));
    assert_eq!(left, 0, "jobs are left to expire");
    assert_eq!(shelf.claimed(), shelf.settled(), "the shutdown did not wait for every verdict");
}

/// job_ended || stop_claiming, and everything after it: the shutdown comes at any moment.
fn shutdown_at_any_moment(shelf: Shelf) {
    let shelf = Arc::new(shelf);
    let queue = queue_over(&shelf);
    let actors = [Nudge::Claimer, Nudge::Settler].map(|role| Actor::start(&queue, role));
    shut_down(&shelf, &queue);
    actors.into_iter().for_each(Actor::end);
}

#[test]
fn a_shutdown_at_any_moment_ends() {
    with_clock(|| many(MANY, || shutdown_at_any_moment(Shelf::with(3))));
}

/// What is under way when the shutdown begins may fail.
#[test]
fn a_shutdown_is_not_held_up_by_a_claim_that_fails() {
    with_clock(|| many(MANY, || shutdown_at_any_moment(Shelf::with(3).failing_after(2))));
    with_clock(|| many(MANY, || shutdown_at_any_moment(Shelf::with(3).failing_after(0))));
}

/// Jobs come while others end, with a wake-up each: all of them are claimed and settled, and no timer was needed.
fn jobs_come_and_go(queue: &Arc<QueueShared>, shelf: &Arc<Shelf>) {
    for _ in 0..2 {
        shelf.add(1);
        queue.wake();
    }
    shelf.wait_until_settled(3);
}

#[test]
fn a_wake_up_is_not_lost() {
    with_clock(|| {
        many(MANY, || {
            let shelf = Arc::new(Shelf::with(1));
            let queue = queue_over(&shelf);
            let actors = [Nudge::Claimer, Nudge::Settler].map(|role| Actor::start(&queue, role));
            jobs_come_and_go(&queue, &shelf);
            shut_down(&shelf, &queue);
            actors.into_iter().for_each(Actor::end);
        });
    });
}

/// A claimer that takes so many messages out of its mailbox and dies with the next, perhaps in the middle of a claim.
fn mortal_claimer(queue: Arc<QueueShared>, inbox: &Receiver<Ring>, in_a_claim: bool) {
    assert_eq!(inbox.recv(), Ok(Ring::Work), "it is rung when it starts");
    if in_a_claim {
        let now = tokio::time::Instant::now();
        drop(queue.core().plan_claim(now, false));
    }
}

/// nudge || restart: the claimer dies with what it was told, and its successor goes on from there.
fn restart_while_jobs_come(in_a_claim: bool, restart: fn(&Arc<QueueShared>) -> Actor) {
    let shelf = Arc::new(Shelf::with(1));
    let queue = queue_over(&shelf);
    let settler = Actor::start(&queue, Nudge::Settler);
    let (mailbox, inbox) = mpsc::channel();
    queue.set_bell(Nudge::Claimer, bell(&mailbox));
    let supervised = Arc::clone(&queue);
    let supervisor = thread::spawn(move || {
        mortal_claimer(Arc::clone(&supervised), &inbox, in_a_claim);
        restart(&supervised)
    });
    let _ = mailbox.send(Ring::Work);
    jobs_come_and_go(&queue, &shelf);
    let claimer = supervisor.join().expect("nobody panics");
    shut_down(&shelf, &queue);
    [claimer, settler].into_iter().for_each(Actor::end);
}

fn restart(queue: &Arc<QueueShared>) -> Actor {
    Actor::start(queue, Nudge::Claimer)
}

#[test]
fn a_restarted_claimer_goes_on() {
    with_clock(|| many(MANY, || restart_while_jobs_come(false, restart)));
    with_clock(|| many(MANY, || restart_while_jobs_come(true, restart)));
}

/// A shutdown while the claimer is dead with a claim under way.
#[test]
fn a_shutdown_is_not_held_up_by_a_claimer_that_died() {
    with_clock(|| {
        many(MANY, || {
            let shelf = Arc::new(Shelf::with(1));
            let queue = queue_over(&shelf);
            let settler = Actor::start(&queue, Nudge::Settler);
            drop(queue.core().plan_claim(tokio::time::Instant::now(), true));
            let supervised = Arc::clone(&queue);
            let supervisor = thread::spawn(move || restart(&supervised));
            shut_down(&shelf, &queue);
            let claimer = supervisor.join().expect("nobody panics");
            [claimer, settler].into_iter().for_each(Actor::end);
        });
    });
}

// ---- races that are planted

fn is_found(test: impl Fn() + Send + Sync + Clone + 'static) {
    with_clock(|| {
        let said = some_schedule_breaks(MANY, test);
        assert!(said.contains("deadlock"), "another failure was found: {said}");
    });
}

/// Waits for the last job, by looking at things in another order.
fn wait_with(wait: fn(&QueueShared)) {
    let shelf = Arc::new(Shelf::with(2));
    let queue = queue_over(&shelf);
    let actors = [Nudge::Claimer, Nudge::Settler].map(|role| Actor::start(&queue, role));
    let nudge = queue.core().stop_claiming();
    queue.tell(nudge);
    wait(&queue);
    actors.into_iter().for_each(Actor::end);
}

#[test]
fn a_wait_that_looks_before_it_listens_is_found() {
    is_found(|| {
        wait_with(|queue| {
            queue.watch_changes();
            while !queue.core().is_quiet() {
                block_on(queue.changed.notified());
            }
        });
    });
}

#[test]
fn a_wait_that_says_so_after_it_has_looked_is_found() {
    is_found(|| {
        wait_with(|queue| {
            loop {
                let changed = queue.changed.notified();
                if queue.core().is_quiet() {
                    return;
                }
                queue.watch_changes();
                block_on(changed);
            }
        });
    });
}

/// One that waits to be rung, although its predecessor may have died with the bell in its ears.
#[test]
fn a_restart_that_does_not_look_by_itself_is_found() {
    is_found(|| {
        restart_while_jobs_come(false, |queue| {
            let (mailbox, inbox) = channel();
            queue.set_bell(Nudge::Claimer, bell(&mailbox));
            let queue = Arc::clone(queue);
            Actor { mailbox, thread: thread::spawn(move || claim(queue, &inbox)) }
        });
    });
}
