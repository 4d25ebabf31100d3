//! The example as a process.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A directory that goes with the test.
pub(crate) struct Out(PathBuf);

impl Out {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    /// The invoices that have a file.
    pub(crate) fn files(&self) -> HashSet<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten();
        let names = entries.map(|entry| entry.expect("readable").file_name().into_string().expect("ASCII"));
        names.filter_map(|name| Some(name.strip_suffix(".txt")?.to_owned())).collect()
    }

    /// The ids of all mails, repeated ones too.
    pub(crate) fn mails(&self) -> Vec<String> {
        let log = fs::read_to_string(self.0.join("mails.log")).unwrap_or_default();
        log.lines().map(ToOwned::to_owned).collect()
    }

    /// Every one of the thousand invoices has its file and its mail.
    pub(crate) fn assert_complete(&self) {
        let (files, mails) = (self.files(), self.mails().into_iter().collect::<HashSet<_>>());
        let numbers = (1..=1000).map(|n| format!("INV-{n:04}"));
        let missing: Vec<_> = numbers
            .filter(|n| {
                !files.contains(n) || !mails.contains(&format!("<send_invoice.{n}@invoices.example.com>"))
            })
            .collect();
        assert_eq!((missing, files.len(), mails.len()), (vec![], 1000, 1000));
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running example. It is killed if the test ends before it.
pub(crate) struct Example {
    child: Child,
    lines: Receiver<String>,
}

impl Example {
    pub(crate) fn start(url: &str, out: &Out, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_invoices"))
            .args(["--listen", "127.0.0.1:0", "--out"])
            .arg(&out.0)
            .args(args)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("STEADFAST_URL", url)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    pub(crate) fn import(url: &str, out: &Out) -> Self {
        Self::start(url, out, &["--import", "data/invoices.csv", "--exit-when-done"])
    }

    /// Waits for the line that begins so and has at least this number next; `None` if it ends before.
    pub(crate) fn reaches(&self, word: &str, number: usize) -> Option<String> {
        loop {
            // The sender goes when the process has ended.
            let line = match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(error) => panic!("waited in vain for `{word} {number}`: {error}"),
            };
            let mut words = line.split(' ');
            let reached = |next: &str| next.parse::<usize>().is_ok_and(|n| n >= number);
            if words.next() == Some(word) && words.next().is_some_and(reached) {
                return Some(line);
            }
        }
    }

    /// The line that begins so.
    pub(crate) fn says(&self, start: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|e| panic!("waited in vain for {start:?}: {e}"));
            if line.starts_with(start) {
                return line;
            }
        }
    }

    pub(crate) fn kill9(mut self) {
        self.child.kill().expect("a process can be killed");
        self.child.wait().expect("it has ended");
    }

    pub(crate) fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(status.expect("`kill` is there").success());
    }

    /// Waits for its end.
    pub(crate) fn ends(mut self) -> ExitStatus {
        while self.lines.recv_timeout(PATIENCE).is_ok() {}
        self.child.wait().expect("it has ended")
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request; the status line's code and the body.
pub(crate) fn request(address: &str, method: &str, path: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the service listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).expect("the service reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the service answers");
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    (code, body.expect("a body"))
}
