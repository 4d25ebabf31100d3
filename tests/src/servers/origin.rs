//! Where a server comes from, and what may be done to it therefore.

use super::process::{Watched, alive};
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a server of ours needs to start, and to start again.
pub(super) trait Home: Debug {
    /// What people call such a server.
    const NAME: &str;
    /// The variable that names a server to use instead.
    const VARIABLE: &str;

    fn dir(&self) -> &Path;

    fn port(&self) -> u16;

    /// Gives it another port, before its first start.
    fn take_port(&mut self);

    /// Starts the server and waits until it answers; `None` if somebody else has the port.
    fn try_start(&self) -> Option<Watched>;
}

#[derive(Debug)]
pub(super) enum Origin<H: Home> {
    /// Started here.
    Own { home: H, running: Mutex<Option<Watched>> },
    /// Somebody else's, by its URL.
    Given(String),
}

impl<H: Home> Origin<H> {
    /// Starts it at a port that is free.
    pub(super) fn start(mut home: H) -> Self {
        for _ in 0..20 {
            home.take_port();
            if let Some(watched) = home.try_start() {
                return Self::Own { home, running: Mutex::new(Some(watched)) };
            }
        }
        panic!("no free port was found on 127.0.0.1 in 20 attempts");
    }

    fn own(&self) -> (&H, MutexGuard<'_, Option<Watched>>) {
        match self {
            Self::Own { home, running } => (home, lock(running)),
            Self::Given(_) => panic!("the server was given by {} and is left alone", H::VARIABLE),
        }
    }

    /// The home of one that may be harmed.
    pub(super) fn home(&self) -> &H {
        self.own().0
    }

    fn take_running(&self) -> Watched {
        self.own().1.take().expect("the server runs")
    }

    pub(super) fn kill9(&self) {
        self.take_running().kill9();
    }

    /// Ends it by the signal that it takes for the end of its work.
    pub(super) fn stop(&self, signal: &str) {
        let running = self.take_running();
        let pid = running.pid;
        running.end(signal);
        assert!(!alive(pid), "{} went on after it was told to stop", H::NAME);
    }

    pub(super) fn start_again(&self) {
        let (home, mut running) = self.own();
        assert!(running.is_none(), "the server runs already");
        *running = home.try_start();
        assert!(running.is_some(), "port {} was taken while the server was down", home.port());
    }

    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Self::Own { running, .. } => lock(running).as_ref().map(|r| r.pid),
            Self::Given(_) => None,
        }
    }

    pub(super) fn dir(&self) -> Option<&Path> {
        match self {
            Self::Own { home, .. } => Some(home.dir()),
            Self::Given(_) => None,
        }
    }
}

impl<H: Home> Drop for Origin<H> {
    fn drop(&mut self) {
        if let Self::Own { home, running } = self {
            drop(lock(running).take());
            // The watch has done it if there was one.
            let _ = fs::remove_dir_all(home.dir());
        }
    }
}

fn lock(running: &Mutex<Option<Watched>>) -> MutexGuard<'_, Option<Watched>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a server writes into its directory.
pub(super) fn log(dir: &Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap_or_default()
}
