//! The name of the schema, and the statements and migrations in it.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use std::sync::Arc;

/// A schema name that needs no quoting: `[a-z_][a-z0-9_]*`, at most 63 bytes.
#[derive(Debug, Clone)]
pub(crate) struct Schema(Arc<str>);

impl Schema {
    pub(crate) fn new(name: &str) -> Result<Self, String> {
        let starts = |c: char| c.is_ascii_lowercase() || c == '_';
        let valid = name.len() <= 63
            && name.starts_with(starts)
            && name.chars().all(|c| starts(c) || c.is_ascii_digit())
            && !name.starts_with("pg_");
        if valid {
            Ok(Self(name.into()))
        } else {
            let shown: String = name.chars().take(100).collect();
            Err(format!(
                "schema name {shown:?} is not valid: use 1-63 of a-z 0-9 _, no digit first, no pg_ in front"
            ))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A statement text of ours with the schema in it. The name is valid and quoted all the same.
    pub(crate) fn sql(&self, template: &str) -> SqlStr {
        #[cfg(feature = "faults")]
        let template = crate::seeded_bugs::apply(template);
        let text: Arc<str> = template.replace("{schema}", &format!("\"{}\"", self.0)).trim_end().into();
        AssertSqlSafe(text).into_sql_str()
    }
}

/// Every migration, in order; its number is its place, from 1.
pub(crate) const MIGRATIONS: [&str; 18] = [
    include_str!("../migrations/0001_tables.sql"),
    include_str!("../migrations/0002_enqueue.sql"),
    include_str!("../migrations/0003_settle.sql"),
    include_str!("../migrations/0004_look.sql"),
    include_str!("../migrations/0005_maintain.sql"),
    include_str!("../migrations/0006_operate.sql"),
    include_str!("../migrations/0007_notes.sql"),
    include_str!("../migrations/0008_gauges.sql"),
    include_str!("../migrations/0009_amend.sql"),
    include_str!("../migrations/0010_batches.sql"),
    include_str!("../migrations/0011_controls.sql"),
    include_str!("../migrations/0012_keys.sql"),
    include_str!("../migrations/0013_alerts.sql"),
    include_str!("../migrations/0014_limits.sql"),
    include_str!("../migrations/0015_lines.sql"),
    include_str!("../migrations/0016_claim.sql"),
    include_str!("../migrations/0017_schedules.sql"),
    include_str!("../migrations/0018_operations.sql"),
];

macro_rules! statements {
    ($($name:ident),* $(,)?) => {
        /// The text of every statement, made once.
        #[derive(Debug)]
        pub(crate) struct Statements {
            $(pub(crate) $name: SqlStr,)*
        }

        impl Statements {
            pub(crate) fn new(schema: &Schema) -> Self {
                Self { $($name: schema.sql(include_str!(concat!("../queries/", stringify!($name), ".sql"))),)* }
            }
        }
    };
}

statements! {
    version, has_migrations, prepare_schema, note_migration, settings,
    register, enqueue, notify,
    claim, settle, payloads, extend, save, notes, complete_in,
    promote, reap, prune, prune_dead, audit,
    get, list, replay, amend, discard, cancel, set_paused, set_kind_paused, stats, gauges, queues,
    advance, run_now, batch, wait_for_batch,
    report_alerts, alerts,
    declare, adapt_limit, close_limit, open_limit, set_limit, limits, prune_limits, set_weight, lines, open_lines,
    put_schedules, schedules, fire, change_schedule,
    note_operation, operations,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_schema_names_are_refused() {
        for bad in ["", "1a", "A", "a-b", "a\"b", "a;drop", "é", "pg_x", "a b", "a\0", &"x".repeat(64)] {
            assert!(Schema::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "_", "steadfast", "jobs_2", &"x".repeat(63)] {
            assert!(Schema::new(good).is_ok(), "{good:?}");
        }
    }
}
