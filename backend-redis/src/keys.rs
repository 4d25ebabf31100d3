//! Names of keys. All keys of a shard of a queue share one hash tag, so that a script may touch them together.

use job_core::{BatchId, Kind, LeaseId, LimitName, QueueName, seeded_bug};
use redis::{Cmd, RedisWrite, ToRedisArgs};
use uuid::Uuid;

/// The keys that every script gets first, in this order, and their types.
const HEAD: [(&str, &str); 21] = [
    ("q", "hash"),
    ("j", "hash"),
    ("kinds", "hash"),
    ("run", "hash"),
    ("x", "zset"),
    ("xi", "zset"),
    ("m", "hash"),
    ("e", "hash"),
    ("v", "hash"),
    ("u", "hash"),
    ("ws", "zset"),
    ("wr", "zset"),
    ("d", "zset"),
    ("o", "hash"),
    ("n", "hash"),
    ("c", "zset"),
    ("b", "hash"),
    ("lk", "hash"),
    ("ls", "hash"),
    ("lw", "zset"),
    ("lo", "zset"),
];

/// Keys of the first shard that few scripts need, and their types.
const RARE: [(&str, &str); 3] = [("s", "hash"), ("op", "hash"), ("ob", "zset")];

/// One shard of a queue: where its keys are.
#[derive(Debug, Clone)]
pub(crate) struct Tag {
    text: String,
    head: Vec<String>,
}

/// One of the keys of [`HEAD`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    Jobs = 1,
    Kinds = 2,
    Running = 3,
    Leases = 4,
    Claims = 5,
    Metas = 6,
    Errors = 7,
    KeyOf = 8,
    Unique = 9,
    Scheduled = 10,
    Retrying = 11,
    Dead = 12,
    Outbox = 13,
    Notes = 14,
    Completed = 15,
    Members = 16,
    LineOf = 17,
    Lines = 18,
    InLine = 19,
    Turns = 20,
}

impl Tag {
    pub(crate) fn new(prefix: &str, queue: &QueueName, shard: u32) -> Self {
        Self::of_text(format!("{{{prefix}:{queue}:{shard}}}"))
    }

    /// Of one batch, which any queue may have members of.
    pub(crate) fn of_batch(prefix: &str, batch: BatchId) -> Self {
        Self::of_text(format!("{{{prefix}:batch:{}}}", batch.as_uuid().simple()))
    }

    /// Of one limit, which any queue may be under.
    pub(crate) fn of_limit(prefix: &str, limit: &LimitName) -> Self {
        Self::of_text(format!("{{{prefix}:limit:{limit}}}"))
    }

    /// Of the names of all limits.
    pub(crate) fn of_limits(prefix: &str) -> Self {
        Self::of_text(format!("{{{prefix}:limits}}"))
    }

    /// Of what workers have raised.
    pub(crate) fn of_alerts(prefix: &str) -> Self {
        Self::of_text(format!("{{{prefix}:alerts}}"))
    }

    fn of_text(text: String) -> Self {
        let head = HEAD.iter().map(|(suffix, _)| format!("{text}{suffix}")).collect();
        Self { text, head }
    }

    pub(crate) fn key(&self, part: Part) -> &str {
        &self.head[part as usize]
    }

    pub(crate) fn head(&self) -> &[String] {
        &self.head
    }

    /// Every key that a shard can have but its lanes and leases, and their types.
    pub(crate) fn typed(&self) -> impl Iterator<Item = (String, &'static str)> {
        let rare: &[_] = if seeded_bug!("redis_rare_keys_unknown") { &[] } else { &RARE };
        HEAD.iter().chain(rare).map(|(suffix, kind)| (format!("{}{suffix}", self.text), *kind))
    }

    /// What all keys of the shard begin with.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn lane(&self, kind: &Kind) -> String {
        format!("{}r:{kind}", self.text)
    }

    pub(crate) fn lease(&self, lease: LeaseId) -> String {
        format!("{}l:{}", self.text, lease.as_uuid().simple())
    }

    pub(crate) fn receipt(&self, first: Uuid) -> String {
        format!("{}req:{}", self.text, first.simple())
    }

    /// The schedules of a queue, in its first shard.
    pub(crate) fn schedules(&self) -> String {
        self.rare(0)
    }

    fn rare(&self, at: usize) -> String {
        format!("{}{}", self.text, RARE[at].0)
    }

    /// What was done to many jobs of a queue, and when each began; in its first shard.
    pub(crate) fn operations(&self) -> [String; 2] {
        [
            if seeded_bug!("redis_operations_in_outbox") {
                self.key(Part::Outbox).to_owned()
            } else {
                self.rare(1)
            },
            self.rare(2),
        ]
    }

    /// Of an idempotency key.
    pub(crate) fn idempotency(&self, scope: &str, key: &str) -> String {
        format!("{}k:{}", self.text, joined(scope, key))
    }
}

/// A scope and a key such that no other pair gives the same text.
pub(crate) fn joined(scope: &str, key: &str) -> String {
    format!("{}:{scope}:{key}", scope.len())
}

/// Bytes as one argument.
pub(crate) struct Raw<'a>(pub(crate) &'a [u8]);

impl ToRedisArgs for Raw<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        out.write_arg(self.0);
    }
}

/// Adds the bytes of an id.
pub(crate) fn add_id(cmd: &mut Cmd, id: Uuid) {
    cmd.arg(Raw(id.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_name_is_given_twice() {
        let tag = Tag::new("p", &QueueName::from_static("q"), 0);
        let names: HashSet<_> = tag.typed().map(|(name, _)| name).collect();
        assert_eq!(names.len(), HEAD.len() + RARE.len());
    }
}
