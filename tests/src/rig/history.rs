//! Histories: what each process wrote down before it died.

use crate::judge::event::{Event, Record};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where a process writes its events. Each is one `write` to a file opened for appending, so whatever was written
/// before a SIGKILL is there.
#[derive(Debug)]
pub struct History {
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    File(File),
    Memory(Mutex<Vec<Record>>),
}

impl History {
    /// A new file.
    ///
    /// # Errors
    /// If it cannot be made, or exists.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        Ok(Self { sink: Sink::File(file) })
    }

    /// For unit tests.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { sink: Sink::Memory(Mutex::default()) }
    }

    /// Writes an event down.
    ///
    /// # Panics
    /// If it cannot be written: a run without its history proves nothing.
    pub fn write(&self, event: Event) {
        let record = Record { at: now(), event };
        match &self.sink {
            Sink::Memory(records) => records.lock().unwrap_or_else(PoisonError::into_inner).push(record),
            Sink::File(file) => {
                let mut line = serde_json::to_vec(&record).expect("events are plain data");
                line.push(b'\n');
                let mut file = file;
                let written = file.write(&line).expect("the history can be written");
                assert_eq!(written, line.len(), "the history has room");
            }
        }
    }

    /// What was written, if it was kept in memory.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        match &self.sink {
            Sink::Memory(records) => records.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Sink::File(_) => Vec::new(),
        }
    }
}

/// Nanoseconds of a clock that all processes of the machine share and nobody sets.
#[must_use]
pub fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let nanos = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    u64::try_from(nanos).unwrap_or(0)
}

/// Reads a history while it grows.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    offset: u64,
}

impl Tail {
    /// From the beginning of this file, which may not exist yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, offset: 0 }
    }

    /// The whole lines that were added since the last call. What follows the last line end is still being written, or
    /// was cut off by a SIGKILL and did not happen.
    ///
    /// # Errors
    /// If the file cannot be read, or a line is not a record.
    pub fn read(&mut self) -> io::Result<Vec<Record>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        self.offset += whole as u64;
        bytes[..whole].split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| self.parse(l)).collect()
    }

    fn parse(&self, line: &[u8]) -> io::Result<Record> {
        serde_json::from_slice(line).map_err(|e| {
            let text = format!("{}: {e}: {}", self.path.display(), String::from_utf8_lossy(line));
            io::Error::new(io::ErrorKind::InvalidData, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_a_torn_end_is_not() {
        let path = std::env::temp_dir().join(format!("rig-history-{}", job_core::LeaseId::random()));
        let mut tail = Tail::new(path.clone());
        assert!(tail.read().expect("no file is no history").is_empty());
        let history = History::create(&path).expect("a new file");
        history.write(Event::Boot { pid: 7 });
        let mut file = OpenOptions::new().append(true).open(&path).expect("it exists");
        file.write_all(b"{\"at\":").expect("room");
        assert_eq!(tail.read().expect("readable").len(), 1);
        assert!(tail.read().expect("readable").is_empty());
        file.write_all(b"1,\"event\":{\"Boot\":{\"pid\":8}}}\n").expect("room");
        assert_eq!(tail.read().expect("readable")[0].event, Event::Boot { pid: 8 });
        file.write_all(b"nonsense\n").expect("room");
        tail.read().expect_err("a whole line that is no record is not passed over");
        std::fs::remove_file(&path).expect("it exists");
    }
}
