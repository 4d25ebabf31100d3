#![doc = include_str!("../README.md")]

mod connect;

pub use connect::{ConnectError, connect, connect_env};
pub use job_core::*;
#[cfg(feature = "macros")]
#[doc = include_str!("job.md")]
pub use job_macros::job;

#[cfg(feature = "memory")]
pub use backend_memory as memory;
#[cfg(feature = "postgres")]
pub use backend_postgres as postgres;
#[cfg(feature = "redis")]
pub use backend_redis as redis;

#[doc(hidden)]
pub use job_core::__private;

/// The examples of the pages of documentation are compiled.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../docs/batches.md")]
    struct Batches;

    #[doc = include_str!("../docs/dead-letters.md")]
    struct DeadLetters;

    #[doc = include_str!("../docs/keys.md")]
    struct Keys;

    #[doc = include_str!("../docs/limits.md")]
    struct Limits;
    #[doc = include_str!("../docs/schedules.md")]
    struct Schedules;

    #[cfg(feature = "postgres")]
    #[doc = include_str!("../docs/effects.md")]
    struct Effects;
}
