//! Deliberate defects in the SQL, for test builds alone: a process whose environment names one makes its schemas with
//! it. `./dev mutants` shows that the suites see each of them.

mod claims;
mod limits;
mod writes;

use job_core::faults::TextBug as SqlBug;

/// The text of a migration with the defect of this process, if it has one there.
pub(crate) fn apply(sql: &str) -> String {
    job_core::faults::spoil(sql, all())
}

/// Every defect that SQL can be given.
pub fn all() -> impl Iterator<Item = &'static SqlBug> {
    writes::BUGS.iter().chain(claims::BUGS).chain(limits::BUGS)
}

/// Shortens the table.
const fn bug(
    name: &'static str,
    breaks: &'static str,
    path: &'static str,
    changes: &'static [(&'static str, &'static str)],
) -> SqlBug {
    SqlBug { name, breaks, path, changes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn migrations() -> Vec<(String, String)> {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let files = std::fs::read_dir(dir).expect("the folder is there").map(|f| f.expect("a file").path());
        files
            .map(|path| {
                let name = path.file_name().expect("a name").to_str().expect("plain").to_owned();
                (name, std::fs::read_to_string(path).expect("a text"))
            })
            .collect()
    }

    /// The table cannot rot: a migration that changes takes its defects along, and defects of a function that was replaced
    /// are in what replaced it as well, or name that.
    #[test]
    fn every_text_occurs_once() {
        let migrations = migrations();
        let mut names = HashSet::new();
        for bug in all() {
            assert!(names.insert(bug.name) && bug.name.starts_with("sql_"), "{}", bug.name);
            for (from, to) in bug.changes {
                assert_ne!(from, to, "{}", bug.name);
                for (file, text) in &migrations {
                    let path = format!("backend-postgres/migrations/{file}");
                    let found = text.matches(from).count();
                    // A later migration may have the text once more: what looks within limits is written like what looks.
                    let expected =
                        if *path > *bug.path { found.min(1) } else { usize::from(path == bug.path) };
                    assert_eq!(found, expected, "{}: {from:?} in {file}", bug.name);
                }
            }
        }
    }
}
