//! The checks, by clause of the contract.

pub mod alerts;
pub mod c10_kinds;
pub mod c11_schedules;
pub mod c12_adapts;
pub mod c12_ahead;
pub mod c12_limits;
pub mod c12_lines;
pub mod c12_order;
pub mod c13_notes;
pub mod c14_batches;
pub mod c1_durability;
pub mod c2_one_lease;
pub mod c3_fencing;
pub mod c4_expiry;
pub mod c5_repeats;
pub mod c6_order;
pub mod c7_time;
pub mod c8_dropped;
pub mod c9_batches;
pub mod dead_letters;
pub mod gauges;
pub mod kept;
pub mod keys;
pub mod keys_at_once;
pub mod operate;
pub mod operations;
pub mod paused_kinds;

crate::__checks! { crate::__all; () }
