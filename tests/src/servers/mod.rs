//! Private servers for tests, from the programs that are installed.
//!
//! Each one lives in a directory of its own and ends with the process that started it, however that ends.

pub mod postgres;
mod process;
pub mod proxy;

pub use postgres::PostgresServer;
