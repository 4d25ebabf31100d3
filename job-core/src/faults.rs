//! Places where tests make a process fail, and defects that they switch on. Without the feature `faults` both macros are
//! constants: nothing of this is in a release.

#[cfg(feature = "faults")]
use std::sync::{Arc, OnceLock};

/// What is to happen at a point. What stops a process or a thread needs no word: it happens inside of
/// [`Faults::reached`].
#[cfg(feature = "faults")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Injected {
    /// Go on.
    Nothing,
    /// The call fails; after its commit this means that the answer is lost.
    Fail,
    /// The task never goes on.
    Hang,
}

/// Decides what happens at points.
#[cfg(feature = "faults")]
pub trait Faults: Send + Sync + 'static {
    /// The process is at `point`, on behalf of `scope`: a queue, or the name of a store.
    fn reached(&self, scope: &str, point: &str) -> Injected;
}

#[cfg(feature = "faults")]
static FAULTS: OnceLock<Arc<dyn Faults>> = OnceLock::new();

/// From now on `faults` decides for the whole process; the first one stays.
#[cfg(feature = "faults")]
pub fn install(faults: Arc<dyn Faults>) {
    let _ = FAULTS.set(faults);
}

/// True if the caller is to fail here.
#[cfg(feature = "faults")]
pub async fn reach(scope: &str, point: &str) -> bool {
    match FAULTS.get().map_or(Injected::Nothing, |f| f.reached(scope, point)) {
        Injected::Nothing => false,
        Injected::Fail => true,
        Injected::Hang => std::future::pending().await,
    }
}

/// The environment variable that names the seeded bug of a process.
#[cfg(feature = "faults")]
pub const BUG_VARIABLE: &str = "STEADFAST_BUG";

/// The name of the seeded bug of this process, if it has one.
#[cfg(feature = "faults")]
pub fn bug() -> Option<&'static str> {
    static BUG: OnceLock<Option<String>> = OnceLock::new();
    BUG.get_or_init(|| std::env::var(BUG_VARIABLE).ok()).as_deref()
}

/// A defect in a text that a store runs, such as a script.
#[cfg(feature = "faults")]
#[derive(Debug, Clone, Copy)]
pub struct TextBug {
    /// The value of the environment variable that switches it on.
    pub name: &'static str,
    /// What it breaks.
    pub breaks: &'static str,
    /// The file, from the root of the workspace.
    pub path: &'static str,
    /// Texts that occur once in that file, and what stands there instead.
    pub changes: &'static [(&'static str, &'static str)],
}

/// The text with the defect of this process, if it has one of these.
#[cfg(feature = "faults")]
pub fn spoil(text: &str, mut bugs: impl Iterator<Item = &'static TextBug>) -> String {
    let mine = bug().and_then(|name| bugs.find(|b| b.name == name));
    let changes = mine.map_or(&[][..], |bug| bug.changes);
    changes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// A point at which tests can stop, freeze or fail the process: `fault_point!(queue, "claimer.before_send")`. True if the
/// caller is to fail. Only in async code.
#[cfg(feature = "faults")]
#[macro_export]
macro_rules! fault_point {
    ($scope:expr, $($point:tt)*) => { $crate::faults::reach($scope, &::std::format!($($point)*)).await };
}

/// A point at which tests can stop, freeze or fail the process; nothing without the feature `faults`.
#[cfg(not(feature = "faults"))]
#[macro_export]
macro_rules! fault_point {
    ($scope:expr, $($point:tt)*) => {
        false
    };
}

/// True in a test process that has been given this deliberate defect.
#[cfg(feature = "faults")]
#[macro_export]
macro_rules! seeded_bug {
    ($name:literal) => {
        $crate::faults::bug() == ::std::option::Option::Some($name)
    };
}

/// False without the feature `faults`.
#[cfg(not(feature = "faults"))]
#[macro_export]
macro_rules! seeded_bug {
    ($name:literal) => {
        false
    };
}
