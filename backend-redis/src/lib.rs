//! The Redis backend of Steadfast: Redis 6.2 or newer, or Valkey, alone or as a cluster. Every transition is one script.
//!
//! # The URL
//! `redis://user:password@host:port/database`, `rediss://` for TLS, `redis+unix:///path.sock?db=1&user=…&pass=…` for a socket;
//! `redis://a:7000,b:7001` names several nodes of a cluster, of which one is enough. Parameters after `?`:
//!
//! | name | default | what |
//! |---|---|---|
//! | `prefix` | `steadfast` | what all keys begin with; applications with other prefixes do not see each other |
//! | `shards` | 1 | how many parts a queue has, at most 64, which a cluster may put on other servers; jobs are then in order, and batches whole, within a part only |
//! | `listen` | `true` | whether an enqueue wakes workers; without it they poll |
//! | `receipts` | 86400 | for how many seconds repeated calls are known again |
//! | `wait`, `wait_ms` | 0, 1000 | an enqueue is acknowledged when so many replicas have it, and is of unknown outcome if they do not within this time |
//! | `wait_fsync` | `false` | the same for the server's own disk, with Redis 7.2 or newer |
//! | `ca` | the system's | a file of certificates, PEM, of who may have signed the server's |
//!
//! # What it needs
//! `maxmemory-policy noeviction`: anything else deletes jobs, and is refused. What an acknowledged enqueue survives follows from
//! `appendonly` and `appendfsync`, see [`DurabilityClass`](job_core::DurabilityClass). A failover of Redis may lose what was
//! acknowledged and had not reached the replica: `wait=1` closes that hole for a master with one replica.
//!
//! These rights are enough, for the prefix `steadfast`:
//!
//! ```text
//! ACL SETUSER worker on >PASSWORD resetkeys ~{steadfast:* ~steadfast:queues resetchannels &steadfast:wake -@all
//!     +info +ping +select +subscribe +unsubscribe +publish +eval +evalsha +time +type +exists +get +set +pexpire
//!     +hget +hmget +hset +hdel +hincrby +hexists +hlen +hgetall +hscan +sadd +sismember +smembers
//!     +zadd +zrem +zremrangebyrank +zscore +zrank +zcard +zcount +zrange +zrangebyscore
//! ```
//!
//! More for some: `+cluster` for a cluster, `+wait` or `+waitaof` for `wait`, `+zscan +renamenx` for
//! [`fsck`](RedisBackend::fsck), and `+config|get` to tell `appendfsync always` from less.

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
mod rights;
mod script;
mod server;
mod settle;
mod wake;

pub use backend::RedisBackend;
pub use fsck::FsckReport;
