//! What can be wrong with a store.

macro_rules! defects {
    ($($(#[$doc:meta])* $Name:ident,)*) => {
        /// What is wrong with a store.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Defect {
            None,
            $($(#[$doc])* $Name,)*
        }

        impl Defect {
            pub(crate) const ALL: &[Self] = &[$(Self::$Name),*];
        }
    };
}

defects! {
    /// A stale verdict is said to be applied.
    NoFence,
    /// A verdict that was applied before is said to be stale.
    ForgetsReceipts,
    /// A repeated verdict enqueues its follow-ups once more.
    AppliesTwice,
    /// A job enqueued again is another job.
    RepeatsEnqueue,
    /// The same once the job has ended.
    Revives,
    IgnoresLimit,
    IgnoresKinds,
    IgnoresPriority,
    /// Leases end at the next maintenance.
    ReapsEarly,
    /// `reap: false` is overlooked.
    ReapsUnasked,
    ExtendShortens,
    ExtendDoesNothing,
    AnswersBackwards,
    LosesFollowUps,
    /// A snoozed attempt counts.
    CountsSnooze,
    /// The end of a job frees its unique key, whoever holds it.
    FreesForeignKeys,
    /// An idempotency key is free when its job has completed.
    ForgetsKeysOfTheDone,
    /// A repeated claim takes more jobs.
    RepeatsClaim,
    /// A claim gives the jobs of the one before as well.
    GivesTwice,
    /// Two claims at the same instant get the same jobs.
    RacesForJobs,
    /// Two verdicts at the same instant are both applied.
    RacesOfVerdicts,
    /// No number of crashes is too many.
    ForgetsPoison,
    IgnoresDelay,
    /// A batch is stored in two steps.
    StoresHalves,
    TrimsPayloads,
    IgnoresPause,
    IgnoresKindPause,
    /// Extensions do not tell which jobs are to stop.
    LosesCancel,
    NeverWakes,
}

impl Defect {
    /// False for what shows only where calls overlap, are dropped, or wait.
    pub(crate) fn model_can_see(self) -> bool {
        use Defect::*;
        // Payloads of the model are never odd.
        !matches!(self, RacesForJobs | RacesOfVerdicts | StoresHalves | TrimsPayloads | NeverWakes)
    }
}
