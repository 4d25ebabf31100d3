//! What the parts of a running runtime share.

use super::bounded::bounded;
use super::claimer::ClaimerMsg;
use super::core::{Nudge, QueueCore, Start};
use super::declaration::Declaration;
use super::downstreams::Downstreams;
use super::execution;
use super::lease_keeper::KeeperMsg;
use super::maintainer::MaintainerMsg;
use super::queue::Queue;
use super::seat::Seat;
use super::settler::SettlerMsg;
use super::sync::{AtomicBool, Mutex, MutexGuard, Notify, Ordering, TaskTracker};
use crate::chance::Chance;
use crate::context::States;
use crate::error::BackendError;
use crate::limits::{Declared, LimitName, LimitStep};
use crate::middleware::Layers;
use crate::operate::Operate;
use crate::registry::Registration;
use crate::schedule::ScheduleDef;
use crate::{Kind, QueueName, WorkerId};
use ractor::ActorRef;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Times that hold for a whole runtime.
#[derive(Debug, Clone)]
pub(crate) struct Timing {
    pub(crate) lease_for: Duration,
    pub(crate) call_timeout: Duration,
    pub(crate) maintain_every: Duration,
    pub(crate) cancel_grace: Duration,
    pub(crate) shutdown_deadline: Duration,
    pub(crate) flush_budget: Duration,
    pub(crate) poison_limit: u32,
}

/// One runtime: what all its queues share.
#[derive(Debug)]
pub(crate) struct Env {
    pub(crate) backend: Arc<dyn Operate>,
    pub(crate) worker: WorkerId,
    pub(crate) handlers: HashMap<Kind, Registration>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) states: Arc<States>,
    pub(crate) layers: Layers,
    pub(super) downstreams: Downstreams,
    pub(crate) timing: Timing,
    pub(crate) chance: Chance,
    /// Where handlers run, whoever starts them.
    pub(crate) main: OnceLock<Handle>,
    /// Where the lease keepers run, if not with everything else.
    pub(crate) keepers: OnceLock<Handle>,
    /// Why the runtime cannot go on, once it cannot.
    pub(crate) fatal: watch::Sender<Option<String>>,
    /// How many limits this process has closed: what it has claimed ahead goes back then.
    pub(crate) closings: Arc<AtomicU64>,
}

impl Env {
    pub(crate) async fn close_limit(&self, limit: &LimitName, period: Duration) -> Result<(), BackendError> {
        // What is claimed while the store does not know it yet is not believed either.
        self.limit_closes();
        let call = self.backend.close_limit(limit, period);
        let answer = bounded(self.timing.call_timeout, "close limit", call).await;
        self.limit_closes();
        answer
    }

    pub(super) async fn adapt_limit(
        &self,
        limit: &LimitName,
        step: LimitStep,
    ) -> Result<Option<u32>, BackendError> {
        bounded(self.timing.call_timeout, "adapt limit", self.backend.adapt_limit(limit, step)).await
    }

    /// What was claimed ahead of a limit goes back.
    pub(super) fn limit_closes(&self) {
        self.closings.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
    }

    /// The runtime cannot go on; the first reason counts.
    pub(crate) fn fail(&self, why: String) {
        self.fatal.send_if_modified(|fatal| {
            if fatal.is_none() {
                tracing::error!(why, "the runtime cannot go on");
                *fatal = Some(why);
                return true;
            }
            false
        });
    }
}

/// One queue of a runtime. Outlives its actors.
#[derive(Debug)]
pub(crate) struct QueueShared {
    pub(crate) name: QueueName,
    pub(crate) env: Arc<Env>,
    /// How long its completed jobs are kept.
    pub(super) keep: Option<Duration>,
    /// What the store has to know of limits before the first claim.
    pub(super) limits: Declaration,
    /// How long dead jobs are kept, if not for ever.
    pub(crate) dead_kept: Option<Duration>,
    /// Those that are part of this program.
    pub(super) schedules: Vec<ScheduleDef>,
    core: Mutex<QueueCore>,
    claimer: Mutex<Option<Bell>>,
    settler: Mutex<Option<Bell>>,
    keeper: Mutex<Option<ActorRef<KeeperMsg>>>,
    maintainer: Mutex<Option<ActorRef<MaintainerMsg>>>,
    /// Somebody was woken and found nothing.
    look: AtomicBool,
    /// There is one claimer at a time, one settler, one keeper.
    pub(super) seats: Seats,
    pub(crate) tasks: TaskTracker,
    /// At the shutdown deadline: handlers are dropped.
    pub(crate) abort: CancellationToken,
    /// Something ended; whoever waits for the queue to become quiet looks again.
    pub(super) changed: Notify,
    /// Somebody waits for that. Telling nobody takes a lock, which is much for something done after every job.
    ending: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct Seats {
    pub(super) claimer: Seat,
    pub(super) settler: Seat,
    pub(super) keeper: Seat,
}

/// Tells an actor that there is something to do; what it is the actor finds in the core.
pub(super) struct Bell(Box<dyn Fn() + Send + Sync>);

impl Bell {
    pub(super) fn new(ring: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Box::new(ring))
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bell")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every critical section leaves the value whole before anything in it can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl QueueShared {
    pub(crate) fn new(
        name: QueueName,
        env: Arc<Env>,
        core: QueueCore,
        options: &Queue,
        declared: Declared,
        schedules: Vec<ScheduleDef>,
    ) -> Self {
        Self {
            name,
            env,
            limits: Declaration::new(declared),
            keep: options.keep_completed,
            dead_kept: options.dead_kept,
            schedules,
            core: Mutex::new(core),
            claimer: Mutex::default(),
            settler: Mutex::default(),
            keeper: Mutex::default(),
            maintainer: Mutex::default(),
            look: AtomicBool::new(false),
            seats: Seats::default(),
            tasks: TaskTracker::new(),
            abort: CancellationToken::new(),
            changed: Notify::new(),
            ending: AtomicBool::new(false),
        }
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, QueueCore> {
        lock(&self.core)
    }

    pub(super) fn set_maintainer(&self, actor: ActorRef<MaintainerMsg>) {
        *lock(&self.maintainer) = Some(actor);
    }

    /// Woken, and nothing to claim: there may be jobs that are due before anybody else would look.
    pub(super) fn look_for_due(&self) {
        if !self.look.swap(true, Ordering::AcqRel)
            && let Some(maintainer) = &*lock(&self.maintainer)
        {
            let _ = maintainer.cast(MaintainerMsg::Look);
        }
    }

    /// True once for each time that somebody asked for it.
    pub(super) fn take_look(&self) -> bool {
        self.look.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn set_claimer(&self, actor: ActorRef<ClaimerMsg>) {
        self.set_bell(Nudge::Claimer, Bell::new(move || drop(actor.cast(ClaimerMsg::Wake))));
    }

    pub(crate) fn set_settler(&self, actor: ActorRef<SettlerMsg>) {
        self.set_bell(Nudge::Settler, Bell::new(move || drop(actor.cast(SettlerMsg::Flush))));
    }

    pub(super) fn set_bell(&self, nudge: Nudge, bell: Bell) {
        if let Some(place) = self.bell(nudge) {
            *lock(place) = Some(bell);
        }
    }

    fn bell(&self, nudge: Nudge) -> Option<&Mutex<Option<Bell>>> {
        match nudge {
            Nudge::Nobody => None,
            Nudge::Claimer => Some(&self.claimer),
            Nudge::Settler => Some(&self.settler),
        }
    }

    pub(crate) fn set_keeper(&self, actor: ActorRef<KeeperMsg>) {
        *lock(&self.keeper) = Some(actor);
    }

    /// Tells the actor that has something to do. One that is being restarted looks by itself when it starts.
    pub(crate) fn tell(&self, nudge: Nudge) {
        if let Some(place) = self.bell(nudge)
            && let Some(Bell(ring)) = &*lock(place)
        {
            ring();
        }
    }

    /// A lease became known that has lasted for a while: the keeper must not wait for its timer.
    pub(crate) fn tell_keeper(&self) {
        if let Some(keeper) = &*lock(&self.keeper) {
            let _ = keeper.cast(KeeperMsg::Tick);
        }
    }

    /// Something ended.
    pub(crate) fn tell_changed(&self) {
        if self.ending.load(Ordering::SeqCst) {
            self.changed.notify_waiters();
        }
    }

    /// From now on somebody waits for changes. Whoever waits looks at the core after this, so a change made before
    /// that is seen there, and one made after it is told.
    pub(crate) fn watch_changes(&self) {
        self.ending.store(true, Ordering::SeqCst);
    }

    /// A claimer starts, perhaps after one that died with a claim under way.
    pub(super) fn claimer_starts(&self) {
        self.core().claimer_restarted();
        self.tell_changed();
    }

    /// There may be jobs to claim.
    pub(crate) fn wake(&self) {
        let nudge = self.core().wake();
        self.tell(nudge);
    }

    /// No handler runs on.
    pub(crate) fn drop_handlers(&self) {
        self.core().stop_claiming();
        self.core().cancel_all();
        self.abort.cancel();
    }

    pub(crate) fn spawn(self: &Arc<Self>, starts: Vec<Start>) {
        // The lease keeper starts jobs too, and no handler may run on its thread.
        let _main = self.env.main.get().map(Handle::enter);
        for start in starts {
            self.tasks.spawn(execution::run_jobs(Arc::clone(self), start));
        }
    }
}
