//! Identities, all made by the client so that every call can be repeated.

use crate::new_job::{Headers, NewJob};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $Name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $Name(Uuid);

        impl $Name {
            /// The id with exactly these bits; backends use it to decode.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }
            /// The bits of the id.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }
        impl fmt::Debug for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl FromStr for $Name {
            type Err = uuid::Error;
            fn from_str(s: &str) -> Result<Self, uuid::Error> {
                s.parse().map(Self)
            }
        }
    };
}

id! {
    /// The identity of a job: a UUIDv7, so ids sort by the time they were made.
    JobId
}
id! {
    /// The identity of one claim and of the lease it got, the fencing nonce of its jobs: a UUIDv7, so that the leases of
    /// one time lie together in an index.
    LeaseId
}
id! {
    /// The identity of one worker process: random, new at every boot.
    WorkerId
}
id! {
    /// The identity of one replay of dead jobs, in its log lines and for resuming it: a UUIDv7.
    ReplayId
}

id! {
    /// The identity of something that was done to many jobs at once, a replay or a discard: a UUIDv7.
    OperationId
}

id! {
    /// The identity of a batch of jobs: a UUIDv7.
    BatchId
}

impl BatchId {
    /// A new id.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default that differs each time surprises")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The batch that these headers name.
    pub(crate) fn of_headers(headers: &Headers) -> Option<Self> {
        headers.get(NewJob::BATCH_HEADER)?.parse().ok()
    }
}

impl OperationId {
    /// A new id.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default that differs each time surprises")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl ReplayId {
    /// A new id.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default that differs each time surprises")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl JobId {
    /// A new id.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default that differs each time surprises")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl LeaseId {
    /// A new id.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }
}

impl WorkerId {
    /// A new random id.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}
