//! The test programs, and one run of some of their tests.

use serde_json::Value;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A test program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Suite {
    /// The unit tests of the runtime.
    Core,
    /// Whole runtimes on the memory store.
    Runtime,
    /// The same, ending.
    Shutdown,
    /// Blocking handlers.
    Blocking,
    /// Middleware, encryption and versions in whole runtimes.
    Middleware,
    /// Effects in whole runtimes.
    Effects,
    /// Checkpoints and follow-ups in whole runtimes.
    Checkpoints,
    /// Batches, results and kept jobs in whole runtimes.
    Batches,
    /// What comes after a job that is given up.
    GivenUp,
    /// Jobs that are too late, or put off for ever.
    Expiry,
    /// Limits and lines in whole runtimes.
    Limits,
    /// The dead-letter queue.
    DeadLetters,
    /// Schedules in whole runtimes.
    Schedules,
    /// Bugs of the runtime itself.
    Guard,
    /// The kit on the memory store.
    Memory,
    /// The model on the memory store.
    MemoryModel,
    /// The kit on PostgreSQL.
    Postgres,
    /// The ready log.
    Log,
    /// Lines and limits on PostgreSQL where transactions, marks and statistics come in.
    Lines,
    /// Completions in transactions of an application.
    Complete,
    /// Servers that go away.
    Server,
    /// Everything at once on PostgreSQL.
    Stress,
    /// The kit on Redis.
    Redis,
    /// Queues that other hands have spoiled.
    RedisFsck,
    /// Lines and limits on Redis.
    RedisLines,
    /// Batches on Redis whose enqueue was cut short.
    RedisHalfEnqueued,
    /// Servers that are full, or do other things that a server should not.
    RedisFaults,
}

impl Suite {
    /// Every suite.
    pub const ALL: [Self; 27] = [
        Self::Core,
        Self::Runtime,
        Self::Shutdown,
        Self::Blocking,
        Self::Middleware,
        Self::Effects,
        Self::Checkpoints,
        Self::Batches,
        Self::GivenUp,
        Self::Expiry,
        Self::Limits,
        Self::DeadLetters,
        Self::Schedules,
        Self::Guard,
        Self::Memory,
        Self::MemoryModel,
        Self::Postgres,
        Self::Log,
        Self::Lines,
        Self::Complete,
        Self::Server,
        Self::Stress,
        Self::Redis,
        Self::RedisFsck,
        Self::RedisLines,
        Self::RedisHalfEnqueued,
        Self::RedisFaults,
    ];

    /// Its name in the matrix: the package and the test program.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "job-core/job_core",
            Self::Runtime => "job-conformance/runtime",
            Self::Shutdown => "job-conformance/shutdown",
            Self::Blocking => "job-conformance/blocking",
            Self::Middleware => "job-conformance/middleware",
            Self::Effects => "job-conformance/effects",
            Self::Checkpoints => "job-conformance/checkpoints",
            Self::Batches => "job-conformance/batches",
            Self::GivenUp => "job-conformance/given_up",
            Self::Expiry => "job-conformance/expiry",
            Self::Limits => "job-conformance/limits",
            Self::DeadLetters => "job-conformance/dead_letters",
            Self::Schedules => "job-conformance/schedules",
            Self::Guard => "job-conformance/guard",
            Self::Memory => "backend-memory/conformance",
            Self::MemoryModel => "backend-memory/model",
            Self::Postgres => "backend-postgres/conformance",
            Self::Log => "backend-postgres/log",
            Self::Lines => "backend-postgres/lines",
            Self::Complete => "backend-postgres/complete",
            Self::Server => "backend-postgres/server",
            Self::Stress => "backend-postgres/stress",
            Self::Redis => "backend-redis/conformance",
            Self::RedisFsck => "backend-redis/fsck",
            Self::RedisLines => "backend-redis/lines",
            Self::RedisHalfEnqueued => "backend-redis/half_enqueued",
            Self::RedisFaults => "backend-redis/faults",
        }
    }

    /// The suite of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// How long it may take with a defect in it; several times what it takes without.
    fn limit(self) -> Duration {
        Duration::from_secs(match self {
            Self::Core | Self::Memory | Self::Guard | Self::RedisFsck => 20,
            Self::Runtime
            | Self::Shutdown
            | Self::Blocking
            | Self::Middleware
            | Self::Effects
            | Self::Checkpoints
            | Self::Batches
            | Self::GivenUp
            | Self::Expiry
            | Self::Limits
            | Self::DeadLetters
            | Self::Schedules
            | Self::Log
            | Self::Lines
            | Self::Redis
            | Self::RedisLines
            | Self::RedisHalfEnqueued => 60,
            Self::MemoryModel
            | Self::Complete
            | Self::Server
            | Self::Stress
            | Self::Postgres
            | Self::RedisFaults => 120,
        })
    }
}

/// A built test program, and the folder of its package.
#[derive(Debug, Clone)]
struct Program {
    executable: PathBuf,
    home: PathBuf,
}

/// The built test programs.
#[derive(Debug)]
pub struct Programs {
    programs: HashMap<Suite, Program>,
    database: String,
    redis: String,
    scratch: PathBuf,
}

/// What a run of a suite gave.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The tests that failed.
    pub failed: Vec<String>,
    /// How many were run to their end.
    pub ended: usize,
    /// True if it was stopped because it took too long.
    pub late: bool,
    /// True if everything passed.
    pub passed: bool,
    /// How long it took.
    pub took: Duration,
}

impl Programs {
    /// Finds the programs in the messages that cargo wrote to this file.
    ///
    /// # Errors
    /// If one is missing.
    pub fn find(messages: &Path, database: String, redis: String) -> Result<Self, Error> {
        let mut programs = HashMap::new();
        for line in fs::read_to_string(messages)?.lines() {
            let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
            if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
                continue;
            }
            let text = |value: &Value| value.as_str().map(PathBuf::from);
            let (Some(executable), Some(manifest)) =
                (text(&message["executable"]), text(&message["manifest_path"]))
            else {
                continue;
            };
            let home = manifest.parent().map(Path::to_owned).unwrap_or_default();
            let Some(package) = package_of(&manifest)? else { continue };
            let name = format!("{package}/{}", message["target"]["name"].as_str().unwrap_or_default());
            if let Some(suite) = Suite::named(&name) {
                programs.insert(suite, Program { executable, home });
            }
        }
        for suite in Suite::ALL {
            if !programs.contains_key(&suite) {
                let text = format!("{} has no program for {}", messages.display(), suite.name());
                return Err(Error::new(ErrorKind::NotFound, text));
            }
        }
        let scratch = messages.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { programs, database, redis, scratch })
    }

    /// Runs a suite, or only these of its tests, with a defect or without.
    ///
    /// # Errors
    /// If the program cannot be run.
    pub fn run(&self, suite: Suite, tests: &[String], bug: Option<&str>) -> Result<Run, Error> {
        let program = &self.programs[&suite];
        let output = self.scratch.join(format!("{:?}-{}.out", suite, bug.unwrap_or("clean")));
        let mut command = Command::new(&program.executable);
        command.args(tests).current_dir(&program.home).env("CARGO_MANIFEST_DIR", &program.home);
        // Tests on a server mostly wait, and a server for all programs saves its start.
        command
            .env("DATABASE_URL", &self.database)
            .env("REDIS_URL", &self.redis)
            .env("RUST_TEST_THREADS", "4")
            .env("RUST_BACKTRACE", "0");
        command.env_remove(job_core::faults::BUG_VARIABLE);
        if !tests.is_empty() {
            command.arg("--exact");
        }
        if let Some(bug) = bug {
            command.env(job_core::faults::BUG_VARIABLE, bug);
        }
        command.stdin(Stdio::null()).stdout(File::create(&output)?).stderr(Stdio::null());
        let began = Instant::now();
        let mut child = command.spawn()?;
        let mut late = false;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if began.elapsed() > suite.limit() {
                late = true;
                child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let text = String::from_utf8_lossy(&fs::read(&output)?).into_owned();
        let ended = |how: &str| -> Vec<String> {
            let line = |line: &str| Some(line.strip_prefix("test ")?.strip_suffix(how)?.to_owned());
            text.lines().filter_map(line).collect()
        };
        let failed = ended(" ... FAILED");
        let ended = ended(" ... ok").len() + failed.len();
        Ok(Run { failed, ended, late, passed: status.success(), took: began.elapsed() })
    }
}

/// The name in a manifest.
fn package_of(manifest: &Path) -> Result<Option<String>, Error> {
    let text = fs::read_to_string(manifest)?;
    let name = text.lines().skip_while(|l| l.trim() != "[package]").find_map(|l| l.strip_prefix("name = \""));
    Ok(name.and_then(|n| n.split('"').next()).map(str::to_owned))
}
