//! A thread with a runtime of its own, for what must go on when handlers keep the application's runtime busy.

use std::io;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A thread that drives a tokio runtime of its own. Dropping this ends both; what still runs there is dropped.
///
/// For authors of backends whose [`extend`](crate::Backend::extend) needs connections: opened and driven here, they
/// answer although the application's runtime does not run a task.
#[derive(Debug)]
pub struct OwnThread {
    handle: Handle,
    /// The thread ends when this is dropped.
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl OwnThread {
    /// Starts a thread of this name, of which systems show the first 15 bytes.
    ///
    /// # Errors
    /// If the system has no thread or no descriptor left.
    pub fn start(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _ = runtime.block_on(stopped);
            // A look-up of a name that goes on in a thread of its own is not waited for.
            runtime.shutdown_background();
            let _: Result<(), ()> = end.send(());
        })?;
        Ok(Self { handle, stop, ended })
    }

    /// Where to spawn what shall run on the thread.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends the thread, and waits until what ran on it has been dropped.
    pub async fn end(self) {
        drop(self.stop);
        let _ = self.ended.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    /// Says so when it is dropped.
    struct Dropped(std::sync::mpsc::Sender<thread::ThreadId>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    #[tokio::test]
    async fn goes_on_while_its_maker_does_nothing_and_ends_with_it() {
        let own = OwnThread::start("own").expect("a thread");
        let (tell, told) = std::sync::mpsc::channel();
        let guard = Dropped(tell.clone());
        own.handle().spawn(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let _ = tell.send(thread::current().id());
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        let patience = Duration::from_secs(30);
        let there = told.recv_timeout(patience).expect("nothing here was polled meanwhile");
        assert_ne!(there, thread::current().id());
        // In an asynchronous context, where a runtime must not be dropped.
        drop(own);
        assert_eq!(told.recv_timeout(patience).expect("its tasks are dropped"), there);
    }

    #[tokio::test]
    async fn an_end_can_be_waited_for() {
        let own = OwnThread::start("own").expect("a thread");
        let (tell, told) = std::sync::mpsc::channel();
        let guard = Dropped(tell);
        let handle = own.handle().clone();
        handle.spawn(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        own.end().await;
        told.try_recv().expect("its task was dropped before");
        assert!(handle.spawn(async {}).await.is_err(), "nothing runs there any more");
    }
}
