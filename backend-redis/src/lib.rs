//! The Redis backend of Steadfast, for Redis 6.2 and newer, Valkey, and clusters of them: every transition is one script.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use backend_redis::RedisBackend;
//! use job_core::{Client, Kind, NewJob, QueueName};
//!
//! let client = Client::new(RedisBackend::connect("redis://app:secret@localhost:6379/0?prefix=shop").await?);
//! client.enqueue_new(&[NewJob::new(Kind::new("welcome")?, QueueName::new("email")?, "{}")]).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # URL
//! `redis://user:password@host:port/database`, `rediss://…` for TLS, `redis+unix:///path/of/socket?db=0&user=…&pass=…`. A cluster is
//! recognised by itself; several of its nodes may be named: `redis://host1:7000,host2:7000`. Our parameters:
//!
//! | parameter | default | meaning |
//! |---|---|---|
//! | `prefix` | `steadfast` | what every key begins with; other prefixes are other stores |
//! | `shards` | `1` | spreads each queue over so many slots of a cluster; may be raised, never lowered |
//! | `listen` | `true` | `false`: no wake-ups by PUBLISH, polling alone |
//! | `receipts` | `86400` | seconds for which finished requests are remembered, so that they can be repeated |
//! | `wait` | `0` | an enqueue is acknowledged when so many replicas have it (`WAIT`) |
//! | `wait_fsync` | `false` | … and when the server has it on disk (`WAITAOF`, Redis 7.2 or newer) |
//! | `wait_ms` | `1000` | how long it waits for them; then its outcome is unknown |
//! | `ca` | the system's | a file with the certificates of whoever signed the server's, as PEM |
//!
//! # What a server has to be
//! `maxmemory-policy` must be `noeviction`: with any other, a full server deletes jobs, so `connect` refuses it, and so do
//! enqueues and claims if it is changed later. What an acknowledged enqueue survives is read from the server's settings:
//!
//! | `appendonly` | `appendfsync` | class |
//! |---|---|---|
//! | `no` | | `Volatile`: gone with the server |
//! | `yes` | `everysec` or `no` | `ProcessCrash`: survives the server's process, not a power loss |
//! | `yes` | `always` | `LocalDisk`: survives a power loss |
//!
//! Replication of Redis is asynchronous, so a failover may lose what was acknowledged, whatever the class; `wait` makes that
//! unlikely, not impossible. A full server (`maxmemory` reached) refuses enqueues and goes on to give jobs away and to take
//! verdicts, so that it empties.
//!
//! # What differs from the other stores
//! - A batch that names several queues, or a queue of several shards, is applied shard by shard: if it fails in between, its
//!   outcome is unknown, and repeating it completes it.
//! - With `shards`, the order of jobs holds within a shard. Jobs with an idempotency or unique key go to the first one, and so do
//!   those that wait in lines: these share the claims that begin there, one in so many as there are shards, with jobs without a line.
//! - A process hears within about a second of limits that others set or close.
//! - The slots of a process that died are free when its lease is reaped, which any runtime of its queue does; if there is none, after
//!   twice the length of the lease and a second. In a cluster that is also what a lost call may cost.
//! - Idempotency and unique keys are unique within a queue as well as within their scope.
//! - `get`, `cancel`, `replay` and `discard` ask every queue, for an id does not say where its job is.
//!
//! # Rights
//! These are enough, for the prefix `steadfast`; `connect` tries them and names what is missing:
//!
//! ```text
//! ACL SETUSER worker on >PASSWORD resetkeys ~{steadfast:* ~steadfast:queues resetchannels &steadfast:wake -@all
//!     +info +ping +select +subscribe +unsubscribe +publish +eval +evalsha +time +type +exists +get +set +pexpire
//!     +hget +hmget +hset +hdel +hincrby +hexists +hlen +hgetall +hscan +sadd +sismember +smembers
//!     +zadd +zrem +zremrangebyrank +zscore +zrank +zcard +zcount +zrange +zrangebyscore +zrangebylex
//! ```
//!
//! More for some: `+cluster` for a cluster, `+wait` or `+waitaof` for `wait`, `+zscan +zlexcount +renamenx`
//! for [`fsck`](RedisBackend::fsck), and `+config|get` to tell `appendfsync always` from less.

mod alerts;
mod backend;
mod batches;
mod claim;
mod enqueue;
mod error;
mod extend;
mod fsck;
mod fsck_lines;
mod gauges;
mod keys;
mod limits;
mod lines;
mod link;
mod list;
mod maintain;
mod notes;
mod operate;
mod operations;
mod options;
mod outbox;
mod permits;
mod queue;
mod record;
mod reply;
mod rights;
mod schedules;
mod script;
#[cfg(feature = "faults")]
#[doc(hidden)]
pub mod seeded_bugs;
mod server;
mod settle;
mod wake;

pub use backend::RedisBackend;
pub use fsck::FsckReport;
