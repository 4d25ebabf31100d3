//! Panics, which actors and tasks outlive: on purpose they are kept off the screen, and every other one is remembered.

use super::job::ON_PURPOSE;
use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Watches from now on.
pub(super) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let say = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some(ON_PURPOSE) {
                SEEN.with_borrow_mut(|seen| seen.push(info.to_string()));
                say(info);
            }
        }));
    });
}

/// Those of this thread, on which a whole simulation runs, since they were last taken.
pub(super) fn take() -> Vec<String> {
    SEEN.take()
}
