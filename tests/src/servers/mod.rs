//! Private servers for tests, from the programs that are installed.
//!
//! Each one lives in a directory of its own and ends with the process that started it, however that ends.

mod origin;
mod outage;
pub(crate) mod place;
pub mod postgres;
mod process;
pub mod proxy;
pub mod redis;
pub mod redis_cluster;

pub use outage::when_back;
pub use postgres::PostgresServer;
pub use process::patiently;
pub use redis::RedisServer;
pub use redis_cluster::RedisCluster;
