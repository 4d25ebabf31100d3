//! The Redis backend of Steadfast.

mod backend;
mod claim;
mod enqueue;
mod error;
mod fsck;
mod keys;
mod link;
mod list;
mod maintain;
mod operate;
mod options;
mod queue;
mod record;
mod reply;
mod script;
mod server;
mod settle;
mod wake;

pub use backend::RedisBackend;
pub use fsck::FsckReport;
