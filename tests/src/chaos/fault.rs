//! What can go wrong with a call, and how often.

use job_core::Effect;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// A call of [`Backend`](job_core::Backend).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `enqueue`.
    Enqueue,
    /// `claim`.
    Claim,
    /// `settle`.
    Settle,
    /// `settle_and_claim`.
    SettleAndClaim,
    /// `extend`.
    Extend,
    /// `save`.
    Save,
    /// `notes`.
    Notes,
    /// `maintain`.
    Maintain,
    /// `put_schedules`.
    PutSchedules,
    /// `schedules`.
    Schedules,
    /// `fire`.
    Fire,
    /// `wait`.
    Wait,
}

impl Operation {
    /// The name of the method.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enqueue => "enqueue",
            Self::Claim => "claim",
            Self::Settle => "settle",
            Self::SettleAndClaim => "settle_and_claim",
            Self::Extend => "extend",
            Self::Save => "save",
            Self::Notes => "notes",
            Self::Maintain => "maintain",
            Self::PutSchedules => "put_schedules",
            Self::Schedules => "schedules",
            Self::Fire => "fire",
            Self::Wait => "wait",
        }
    }
}

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The request takes this long to arrive, also if its caller has given up by then.
    SlowRequest(Duration),
    /// The request is applied at once, the answer takes this long.
    SlowAnswer(Duration),
    /// Not applied, and the caller is told so.
    ErrorBefore,
    /// Applied, and the answer is lost: the caller is told that the outcome is unknown.
    ErrorAfter,
    /// The caller is told at once that the outcome is unknown, and the request arrives this much later.
    Late(Duration),
    /// Applied twice; the caller gets the second answer.
    Duplicate,
    /// There is no answer until the network heals, and then it is that the outcome is unknown.
    Hang {
        /// Whether the request arrived.
        applied: bool,
    },
    /// Of a call that a store may make of two, the first is applied and the second is not; the caller is told that the
    /// outcome is unknown. Only `settle_and_claim` is such a call: the contract says that batches are never halved.
    Partial,
    /// A claim is answered with "another one is under way", after its verdicts were applied.
    Contended,
    /// The store is away. It applies nothing, and the caller is told this much about that.
    Outage(Effect),
    /// `wait` returns for nothing.
    Spurious,
}

impl Fault {
    /// Its name in a [`Tally`]; `None` has none.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::SlowRequest(_) => Some("slow request"),
            Self::SlowAnswer(_) => Some("slow answer"),
            Self::ErrorBefore => Some("error before"),
            Self::ErrorAfter => Some("error after"),
            Self::Late(_) => Some("late"),
            Self::Duplicate => Some("duplicate"),
            Self::Hang { .. } => Some("hang"),
            Self::Partial => Some("partial"),
            Self::Contended => Some("contended"),
            Self::Outage(_) => Some("outage"),
            Self::Spurious => Some("spurious"),
        }
    }

    /// Every name.
    pub const NAMES: [&str; 11] = [
        "slow request",
        "slow answer",
        "error before",
        "error after",
        "late",
        "duplicate",
        "hang",
        "partial",
        "contended",
        "outage",
        "spurious",
    ];
}

/// How often each fault happened, by its name.
pub type Tally = BTreeMap<&'static str, u64>;

/// How likely each fault is, from 0 to 1, in any call that can have it; and how long things take.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// [`Fault::SlowRequest`].
    pub slow_request: f64,
    /// [`Fault::SlowAnswer`].
    pub slow_answer: f64,
    /// [`Fault::ErrorBefore`].
    pub error_before: f64,
    /// [`Fault::ErrorAfter`].
    pub error_after: f64,
    /// [`Fault::Late`].
    pub late: f64,
    /// [`Fault::Duplicate`].
    pub duplicate: f64,
    /// [`Fault::Hang`].
    pub hang: f64,
    /// [`Fault::Partial`].
    pub partial: f64,
    /// [`Fault::Contended`].
    pub contended: f64,
    /// [`Fault::Spurious`].
    pub spurious: f64,
    /// That an outage begins with a call.
    pub outage: f64,
    /// How long slow requests and answers take.
    pub slow_for: Range<Duration>,
    /// How late requests are.
    pub late_by: Range<Duration>,
    /// How long outages last.
    pub outage_for: Range<Duration>,
    /// The most jobs in a call, if that is to be less than the store takes: larger batches are split by the caller, and
    /// then their parts meet different faults.
    pub batch_max: Option<usize>,
}

impl Default for Faults {
    /// About every sixth call has a fault. Times suit leases of about a second.
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            slow_request: 0.02,
            slow_answer: 0.02,
            error_before: 0.02,
            error_after: 0.03,
            late: 0.02,
            duplicate: 0.03,
            hang: 0.005,
            partial: 0.02,
            contended: 0.02,
            spurious: 0.02,
            outage: 0.001,
            slow_for: ms(1)..ms(1_500),
            late_by: ms(1)..ms(4_000),
            outage_for: ms(50)..ms(3_000),
            batch_max: None,
        }
    }
}

/// What a draw decides.
pub(super) enum Drawn {
    Fault(Fault),
    /// An outage of this length begins.
    Outage(Duration),
}

impl Faults {
    /// No faults at all.
    #[must_use]
    pub fn none() -> Self {
        Self {
            slow_request: 0.0,
            slow_answer: 0.0,
            error_before: 0.0,
            error_after: 0.0,
            late: 0.0,
            duplicate: 0.0,
            hang: 0.0,
            partial: 0.0,
            contended: 0.0,
            spurious: 0.0,
            outage: 0.0,
            ..Self::default()
        }
    }

    /// What happens to a call. All of it comes from one number, so a change of one call leaves the others as they are.
    pub(super) fn draw(&self, number: u64, operation: Operation) -> Drawn {
        let mut dice = StdRng::seed_from_u64(number);
        let within = |range: &Range<Duration>, dice: &mut StdRng| match range.is_empty() {
            true => range.start,
            false => dice.random_range(range.clone()),
        };
        let mut point: f64 = dice.random();
        let mut hit = |chance: f64| {
            let hit = (0.0..chance).contains(&point);
            point -= chance;
            hit
        };
        if hit(self.outage) {
            return Drawn::Outage(within(&self.outage_for, &mut dice));
        }
        if hit(self.error_before) {
            return Drawn::Fault(Fault::ErrorBefore);
        }
        if operation == Operation::Wait {
            // What a wait misses, polling finds.
            return Drawn::Fault(if hit(self.spurious) {
                Fault::Spurious
            } else if hit(self.hang) {
                Fault::Hang { applied: false }
            } else {
                Fault::None
            });
        }
        let claims = matches!(operation, Operation::Claim | Operation::SettleAndClaim);
        let fault = if hit(self.error_after) {
            Fault::ErrorAfter
        } else if hit(self.duplicate) {
            Fault::Duplicate
        } else if hit(self.late) {
            Fault::Late(within(&self.late_by, &mut dice))
        } else if hit(self.slow_request) {
            Fault::SlowRequest(within(&self.slow_for, &mut dice))
        } else if hit(self.slow_answer) {
            Fault::SlowAnswer(within(&self.slow_for, &mut dice))
        } else if hit(self.hang) {
            Fault::Hang { applied: dice.random() }
        } else if claims && hit(self.contended) {
            Fault::Contended
        } else if operation == Operation::SettleAndClaim && hit(self.partial) {
            Fault::Partial
        } else {
            Fault::None
        };
        Drawn::Fault(fault)
    }

    /// What a caller hears of an outage: mostly that it could not connect.
    pub(super) fn heard(number: u64) -> Effect {
        if number.is_multiple_of(4) { Effect::Unknown } else { Effect::NotApplied }
    }
}
