//! The contract, client and runtime of Steadfast background jobs. Applications use the `steadfast` crate; authors of
//! backends depend on this one.

mod alerts;
mod amendment;
mod attempt;
mod backend;
mod batch;
mod bells;
mod chance;
mod checkpoint;
mod client;
mod conflict;
mod context;
mod dead;
mod dead_letter;
mod drain;
mod effect;
#[cfg(feature = "encryption")]
mod encryption;
mod error;
#[doc(hidden)]
pub mod faults;
mod gauges;
mod id;
mod into_outcome;
mod job;
mod key;
mod lifetime;
mod limits;
mod listing;
mod middleware;
mod names;
mod new_job;
mod note;
mod notebook;
mod operate;
mod operation;
mod outcome;
mod own_thread;
mod redact;
mod registry;
mod repeats;
mod result;
mod retry;
mod runtime;
mod schedule;
mod sealed;
mod verdict;

pub use alerts::{ActiveAlert, AlertChange, AlertEvent, AlertReport, Alerts, RaisedAlert, Rule};
pub use amendment::Amendment;
pub use backend::{
    Ahead, Backend, BackendInfo, Claim, ClaimRequest, ClaimedJob, DurabilityClass, Enqueued, Extended, Hold,
    LeaseStatus, MaintainRequest, Maintained, Suspicion,
};
pub use batch::{BatchEvent, BatchRecord, NewBatch};
pub use bells::Bells;
pub use checkpoint::Progress;
pub use client::{Client, EnqueueJob};
pub use conflict::{KeyName, KeyTaken, OnConflict};
pub use context::{FencingToken, JobContext, State};
pub use dead::{
    DeadFilter, DeadGroup, DeadGroups, DeadLetters, Discard, DiscardReport, Fingerprint, InvalidFingerprint,
    Operation, OperationKind, OperationState, Replay, ReplayError, ReplayReport,
};
pub use dead_letter::{DeadJob, DeadLetter};
pub use effect::{EffectCall, EffectKind, EffectResolution, Verified};
#[cfg(feature = "encryption")]
pub use encryption::{Encryption, KeyError, Keyring, SecretKey};
pub use error::{BackendError, BuildError, Effect, EnqueueError, ErrorKind};
pub use gauges::{Gauges, KindGauge};
pub use id::{BatchId, JobId, LeaseId, OperationId, ReplayId, WorkerId};
pub use job::{Job, JobSpec, StateNeed, Upgrade};
pub use key::{IdempotencyKey, KEY_BYTES_MAX, Key, KeyPart, UniqueKey};
pub use limits::{
    Declared, InvalidLimit, JobLimits, KindLimits, Limit, LimitName, LimitRecord, LimitRule, LimitStep,
    LineRecord, Rate,
};
pub use listing::{Cursor, ListFilter, Page};
pub use middleware::{JobFuture, Middleware};
pub use names::{InvalidName, Kind, QueueName, ScheduleName};
pub use new_job::{Headers, NewJob, Priority, When};
pub use note::{Note, NoteEdit, Notes};
pub use operate::{AttemptError, Cancelled, IntoBackend, JobRecord, JobState, Operate, QueueStats};
pub use operation::{OperationEntry, OperationNote};
pub use outcome::{Action, IntoJobError, JobError, JobResult, NotSent, Permanent, ResultExt};
pub use own_thread::OwnThread;
pub use registry::Registration;
pub use result::{HasResult, JobHandle, ResultError};
pub use retry::{Backoff, FailureInfo, Jitter};
pub use runtime::{Queue, Report, RunningRuntime, Runtime, RuntimeBuilder, RuntimeError};
pub use schedule::{
    FireRequest, Fired, Missed, Overlap, Schedule, ScheduleChange, ScheduleDef, ScheduleEntry, ScheduleError,
    ScheduleRecord, ScheduleStore, Schedules,
};
pub use verdict::{DeadReason, ErrorReport, Kept, Settled, Settlement, Verdict};

#[doc(hidden)]
pub mod __private;
