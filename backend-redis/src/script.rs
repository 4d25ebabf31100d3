//! The scripts: each transition is one, loaded when a server does not know it.

use crate::keys::{Raw, Tag};
use redis::{Arg, Cmd};
use std::sync::LazyLock;

/// A script and its hash.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) operation: &'static str,
    pub(crate) text: String,
    hash: String,
}

const HEAD: &str = include_str!("../scripts/lib/head.lua");
const BUCKET: &str = include_str!("../scripts/lib/bucket.lua");
const LINES: &str = include_str!("../scripts/lib/lines.lua");
const LIMITS: &str = include_str!("../scripts/lib/limits.lua");
const SLOTS: &str = include_str!("../scripts/lib/slots.lua");
const BUDGETS: &str = include_str!("../scripts/lib/budgets.lua");
const SERVE: &str = include_str!("../scripts/lib/serve.lua");
const FINISH: &str = include_str!("../scripts/lib/finish.lua");
const KINDS: &str = include_str!("../scripts/lib/kinds.lua");
const NOTES_LIB: &str = include_str!("../scripts/lib/notes.lua");
const CLAIM: &str = include_str!("../scripts/lib/claim.lua");
const ROWS: &str = include_str!("../scripts/lib/rows.lua");
const REPLACE: &str = include_str!("../scripts/lib/replace.lua");
const STORE: &str = include_str!("../scripts/lib/store.lua");
const ENQUEUE: &str = include_str!("../scripts/lib/enqueue.lua");
const SCHEDULES_LIB: &str = include_str!("../scripts/lib/schedules.lua");
const SETTLE: &str = include_str!("../scripts/lib/settle.lua");

macro_rules! scripts {
    ($($NAME:ident = $operation:literal, $file:literal, [$($lib:expr),*];)*) => {
        $(pub(crate) static $NAME: LazyLock<Script> = LazyLock::new(|| {
            Script::new($operation, HEAD, &[$($lib,)* include_str!(concat!("../scripts/", $file))])
        });)*

    };
}

scripts! {
    ENQUEUE_ = "enqueue", "enqueue.lua", [KINDS, BUCKET, LINES, FINISH, REPLACE, STORE, ENQUEUE];
    FIRE = "fire", "fire.lua", [KINDS, BUCKET, LINES, FINISH, REPLACE, STORE, ENQUEUE, SCHEDULES_LIB];
    CLAIM_ = "claim", "claim.lua", [BUCKET, LINES, LIMITS, SLOTS, BUDGETS, SERVE, CLAIM];
    SETTLE_ = "settle", "settle.lua", [BUCKET, LINES, LIMITS, SLOTS, FINISH, NOTES_LIB, REPLACE, STORE, SETTLE];
    SETTLE_AND_CLAIM = "settle and claim", "settle_and_claim.lua",
        [BUCKET, LINES, LIMITS, SLOTS, BUDGETS, SERVE, FINISH, NOTES_LIB, REPLACE, STORE, SETTLE, CLAIM];
    EXTEND = "extend", "extend.lua", [SLOTS];
    SAVE = "save", "save.lua", [NOTES_LIB];
    NOTES = "notes", "notes.lua", [];
    PROMOTE = "promote", "promote.lua", [BUCKET, LINES, FINISH];
    REAP = "reap", "reap.lua", [BUCKET, LINES, SLOTS, FINISH];
    PRUNE_DEAD = "prune", "prune_dead.lua", [BUCKET, LINES, FINISH];
    GET = "get", "get.lua", [ROWS];
    LIST = "list", "list.lua", [ROWS];
    LIST_RUNNING = "list", "list_running.lua", [ROWS];
    REPLAY = "replay", "replay.lua", [BUCKET, LINES];
    RUN_NOW = "run now", "run_now.lua", [BUCKET, LINES, FINISH];
    BATCH = "batch", "batch.lua", [];
    AMEND = "amend", "amend.lua", [NOTES_LIB];
    DISCARD = "discard", "discard.lua", [BUCKET, LINES, FINISH];
    CANCEL = "cancel", "cancel.lua", [BUCKET, LINES, FINISH];
    LIMIT = "limit", "limit.lua", [BUCKET, LIMITS];
    DECLARE = "declare", "declare.lua", [];
    WEIGH = "set weight", "weigh.lua", [BUCKET, LINES];
    LIST_LINES = "lines", "list_lines.lua", [BUCKET, LINES];
    STATS = "stats", "stats.lua", [];
    ALERTS = "alerts", "alerts.lua", [];
    GAUGES = "gauges", "gauges.lua", [];
    PUT_SCHEDULES = "put schedules", "put_schedules.lua", [SCHEDULES_LIB];
    SCHEDULES = "schedules", "schedules.lua", [SCHEDULES_LIB];
    NOTE_OPERATION = "note operation", "note_operation.lua", [];
    OPERATIONS = "operations", "operations.lua", [];
    FSCK_OPERATIONS = "fsck", "fsck_operations.lua", [];
    CHANGE_SCHEDULE = "change schedule", "change_schedule.lua", [SCHEDULES_LIB];
    PAUSE = "pause", "pause.lua", [];
    PAUSE_KIND = "pause", "pause_kind.lua", [];
    FSCK_JOBS = "fsck", "fsck_jobs.lua", [BUCKET, LINES];
    FSCK_LINES = "fsck", "fsck_lines.lua", [BUCKET, LINES];
    FSCK_ENTRIES = "fsck", "fsck_entries.lua", [];
    FSCK_LEASES = "fsck", "fsck_leases.lua", [];
    PROBE = "connect", "probe.lua", [];
    REGISTER = "connect", "register.lua", [KINDS];
    WIDEN = "connect", "widen.lua", [];
}

impl Script {
    fn new(operation: &'static str, head: &str, parts: &[&str]) -> Self {
        // Part by part, for a defect belongs to one file.
        #[cfg(feature = "faults")]
        let (head, parts) = (
            crate::seeded_bugs::apply(head),
            parts.iter().map(|part| crate::seeded_bugs::apply(part)).collect::<Vec<_>>(),
        );
        // What a function takes from one around it is copied; what it takes from the outermost level is looked for among all
        // that others have taken. Without the function between, to make all of them takes twice as long.
        let text = format!("{head}\nreturn (function()\n{}\nend)()", parts.join("\n"));
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { operation, text, hash }
    }

    /// A call with these keys after those that every script gets; its arguments are still to be added.
    pub(crate) fn call(&'static self, tag: &Tag, keys: &[String]) -> Call {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&self.hash).arg(tag.head().len() + keys.len());
        for key in tag.head().iter().chain(keys) {
            cmd.arg(key);
        }
        Call { script: self, cmd }
    }
}

/// A call of a script.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) script: &'static Script,
    pub(crate) cmd: Cmd,
}

impl Call {
    /// The same with the text of the script, for a server that does not know it.
    pub(crate) fn with_text(&self) -> Cmd {
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(&self.script.text);
        for argument in self.cmd.args_iter().skip(2) {
            if let Arg::Simple(bytes) = argument {
                cmd.arg(Raw(bytes));
            }
        }
        cmd
    }
}
