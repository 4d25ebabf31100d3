//! The weather of a run.

use serde::{Deserialize, Serialize};

/// What is done to the server, and to the network before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Storm {
    /// The server and its children are killed by SIGKILL, and started again.
    ServerKilled,
    /// The server is stopped in good order, without waiting for clients, and started again.
    ServerStopped,
    /// The server ends half of the connections.
    Terminated,
    /// Other clients take every connection that the server has, after which it ends ours.
    Crowded,
    /// Connections are cut in the middle of an answer.
    AnswersCut,
    /// Connections are cut in the middle of a request.
    RequestsCut,
    /// Connections are half-open for longer than a lease.
    Silence,
    /// Everything arrives late.
    Delay,
    /// Everything arrives byte by byte.
    Throttle,
    /// Nobody can connect.
    Refused,
    /// The server forgets all scripts, again and again.
    ScriptsFlushed,
    /// The server takes requests and answers none for a while.
    Paused,
    /// The server does nothing at all for a while, and its clock goes on.
    Stalled,
    /// The server has no memory left for anything new.
    MemoryFull,
}

impl Storm {
    /// Every storm.
    pub const ALL: [Self; 14] = [
        Self::ServerKilled,
        Self::ServerStopped,
        Self::Terminated,
        Self::Crowded,
        Self::AnswersCut,
        Self::RequestsCut,
        Self::Silence,
        Self::Delay,
        Self::Throttle,
        Self::Refused,
        Self::ScriptsFlushed,
        Self::Paused,
        Self::Stalled,
        Self::MemoryFull,
    ];

    /// The words for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServerKilled => "servers killed",
            Self::ServerStopped => "servers stopped",
            Self::Terminated => "connections terminated",
            Self::Crowded => "all connections taken",
            Self::AnswersCut => "answers cut",
            Self::RequestsCut => "requests cut",
            Self::Silence => "half-open connections",
            Self::Delay => "delays",
            Self::Throttle => "throttled connections",
            Self::Refused => "connections refused",
            Self::ScriptsFlushed => "scripts flushed",
            Self::Paused => "clients paused",
            Self::Stalled => "servers stalled",
            Self::MemoryFull => "memory full",
        }
    }
}
