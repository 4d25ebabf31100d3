//! What a server, its keys and its network can do to a backend.

#[path = "../support/mod.rs"]
mod support;

mod busy;
mod damage;
mod full;
mod killed;
mod nuisance;
mod silent;

use job_conformance::servers::RedisServer;
use job_conformance::servers::redis::RedisOptions;
use tokio::task::block_in_place;

fn start(options: RedisOptions) -> RedisServer {
    block_in_place(|| options.start())
}

fn fast() -> RedisOptions {
    RedisServer::options().fast()
}
