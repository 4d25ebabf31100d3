//! What people see of limits and lines.

use super::{LimitName, LimitRule};
use crate::Kind;
use std::time::Duration;

/// A limit as a store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRecord {
    /// The name.
    pub name: LimitName,
    /// What code has declared.
    pub declared: Option<LimitRule>,
    /// What an operator has set, which counts in place of it.
    pub set: Option<LimitRule>,
    /// How many jobs may run at one time now, if its rule adapts.
    pub adapted: Option<u32>,
    /// How many jobs are claimed under it now. Not counted for a limit without a concurrency.
    pub in_use: u32,
    /// How long it stays closed, if it is.
    pub closed_for: Option<Duration>,
}

impl LimitRecord {
    /// What it allows.
    #[must_use]
    pub fn rule(&self) -> LimitRule {
        self.set.or(self.declared).unwrap_or_default()
    }
}

/// A line of jobs as a store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineRecord {
    /// The kind of its jobs.
    pub kind: Kind,
    /// What they share.
    pub key: String,
    /// How many wait in it.
    pub waiting: u64,
    /// How many have left it, and have neither ended nor come back.
    pub out: u32,
    /// How many it may give whenever it is its turn.
    pub weight: u32,
}
