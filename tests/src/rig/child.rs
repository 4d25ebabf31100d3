//! A child of the orchestrator: one worker or producer, from its start to its end.

use super::history::Tail;
use super::store::AnyError;
use crate::judge::Told;
use crate::judge::event::{Event, Record};
use crate::judge::point::Order;
use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};

/// How often a growing history is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(15);

/// A process that may be killed at any time. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Doomed {
    name: String,
    child: Child,
    /// The child ends when this does.
    orders: ChildStdin,
    tail: Tail,
    records: Vec<Record>,
}

impl Doomed {
    /// Starts the program as this kind of child, with its history in `dir`. `clock` is the library that makes its wall
    /// clock wrong by these hours.
    pub(super) fn start(
        program: &Path,
        dir: &Path,
        name: String,
        args: &[impl AsRef<OsStr>],
        clock: Option<(&Path, i32)>,
    ) -> Result<Self, AnyError> {
        let path = history_path(dir, &name);
        let mut command = Command::new(program);
        command.args(args).arg(&path).stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
        // A group of its own: when a shell ends, the kernel wakes what is frozen in the group that it leaves behind.
        command.process_group(0);
        if let Some((library, hours)) = clock {
            // Only the wall clock is wrong: histories and timers go by the monotonic one.
            command.env("LD_PRELOAD", library).env("FAKETIME", format!("{hours:+}h"));
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
        }
        let mut child = command.spawn().map_err(|e| format!("cannot start {}: {e}", program.display()))?;
        let orders = child.stdin.take().expect("stdin is a pipe");
        Ok(Self { name, child, orders, tail: Tail::new(path), records: Vec::new() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Gives an order. A child that is gone already does not hear it, which its end will show.
    pub(super) async fn order(&mut self, order: Order) {
        self.tell(&order).await;
    }

    /// Writes a line to the child.
    pub(super) async fn tell(&mut self, line: impl Display) {
        let _ = self.orders.write_all(format!("{line}\n").as_bytes()).await;
    }

    /// Sends a signal. The child has not been waited for, so its id is still its own.
    pub(super) fn signal(&self, signal: rustix::process::Signal) -> Result<(), AnyError> {
        let id = self.child.id().ok_or("the child is gone already")?;
        let pid = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw).ok_or("no process id")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// Its end, if it comes in time.
    pub(super) async fn ended(&mut self, patience: Duration) -> Result<Option<ExitStatus>, AnyError> {
        match timeout(patience, self.child.wait()).await {
            Ok(status) => Ok(Some(status?)),
            Err(_) => Ok(None),
        }
    }

    /// Kills it; true if the kill is what ended it.
    pub(super) async fn kill(&mut self) -> Result<bool, AnyError> {
        self.child.start_kill()?;
        let status = self.child.wait().await?;
        Ok(was_killed(status))
    }

    /// Waits until its history has something for which `find` answers, counted from its start.
    pub(super) async fn until<T>(
        &mut self,
        patience: Duration,
        find: impl Fn(&[Record]) -> Option<T>,
    ) -> Result<Option<T>, AnyError> {
        let deadline = Instant::now() + patience;
        loop {
            self.records.extend(self.tail.read()?);
            if let Some(found) = find(&self.records) {
                return Ok(Some(found));
            }
            if Instant::now() >= deadline || self.child.try_wait()?.is_some() {
                return Ok(None);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until it has connected and does its work: until it has written something after its start.
    pub(super) async fn until_busy(&mut self, patience: Duration) -> Result<bool, AnyError> {
        let busy =
            |records: &[Record]| records.iter().any(|r| !matches!(r.event, Event::Boot { .. })).then_some(());
        Ok(self.until(patience, busy).await?.is_some())
    }

    /// Everything it wrote.
    pub(super) fn told(mut self) -> Result<Told, AnyError> {
        self.records.extend(self.tail.read()?);
        Ok(Told { by: self.name.clone(), records: std::mem::take(&mut self.records) })
    }
}

/// True if the process died by SIGKILL.
pub(super) fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(rustix::process::Signal::KILL.as_raw())
}

/// Where the process of this name writes its history.
pub(super) fn history_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.jsonl"))
}
