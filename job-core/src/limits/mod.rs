//! Limits on downstreams and kinds, and lines of jobs by key.

mod line;
mod name;
mod record;
mod rule;

pub use line::{JobLimits, KindLimits};
pub use name::LimitName;
pub use record::{LimitRecord, LineRecord};
pub(crate) use rule::Breaker;
pub use rule::{InvalidLimit, Limit, LimitRule, LimitStep, Rate};

/// What a runtime tells a store about one queue before it claims from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// Limits, each with what it allows; `None` takes back what was declared before.
    pub limits: Vec<(LimitName, Option<LimitRule>)>,
    /// What holds for the kinds of the runtime; for each in place of what was declared before.
    pub kinds: Vec<KindLimits>,
}
