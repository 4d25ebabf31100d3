//! Processes that end with their starter, and a look at processes by id.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may take to come, or to go.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Stands between the test and the server. Its input ends when the test's process does, and then the server is sent its
/// farewell and its directory goes. A line is the name of a signal instead, after which the directory stays.
const WATCH: &str = r#"
dir=$1; farewell=$2; shift 2
"$@" >>"$dir/log" 2>&1 </dev/null &
child=$!
echo "$child"
read -r signal || signal=
kill "-${signal:-$farewell}" "$child" 2>/dev/null
wait "$child"
[ -n "$signal" ] || rm -rf "$dir"
"#;

/// Who runs a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl User {
    /// Makes the command run as this user.
    pub(super) fn runs(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

/// A running server and the one who watches over it.
#[derive(Debug)]
pub(super) struct Watched {
    watch: Child,
    /// Open as long as this process lives; the standard library keeps it from being inherited.
    input: Option<ChildStdin>,
    pub(super) pid: u32,
}

impl Watched {
    /// Starts `program`, which writes to `log` in `dir` and ends by the signal `farewell`.
    pub(super) fn start(
        dir: &Path,
        user: Option<User>,
        farewell: &str,
        program: &Path,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "watch"]).arg(dir).arg(farewell).arg(program).args(args);
        // A group of its own: the keys that end a test run must not reach the server before its watch.
        command.current_dir(dir).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        if let Some(user) = user {
            user.runs(&mut command);
        }
        let mut watch = command.spawn().unwrap_or_else(|e| panic!("cannot start a shell: {e}"));
        let input = watch.stdin.take();
        let mut line = String::new();
        let output = watch.stdout.take().expect("its output is piped");
        BufReader::new(output).read_line(&mut line).expect("the shell says which process it started");
        let pid =
            line.trim().parse().unwrap_or_else(|_| panic!("the shell started nothing, it said {line:?}"));
        Self { watch, input, pid }
    }

    /// Sends a signal and waits until the server is gone; its directory stays.
    pub(super) fn end(mut self, signal: &str) {
        if let Some(mut input) = self.input.take() {
            // The watch may have gone by itself; then there is nothing left to end.
            let _ = writeln!(input, "{signal}");
        }
        drop(self);
    }

    /// Kills the server and its children at one instant, as a machine's end does; its directory stays.
    pub(super) fn kill9(self) {
        signal("STOP", &[self.pid]);
        let mut all = children(self.pid);
        all.push(self.pid);
        signal("KILL", &all);
        self.end("KILL");
        patiently("the end of killed processes", || !all.iter().any(|&pid| alive(pid)));
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.watch.wait();
    }
}

/// Waits until `done`.
///
/// # Panics
/// If that takes longer than anything should.
pub fn patiently(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        sleep(Duration::from_millis(5));
    }
}

fn signal(name: &str, pids: &[u32]) {
    let script = r#"signal=$1; shift; kill "-$signal" "$@" 2>/dev/null"#;
    let pids = pids.iter().map(ToString::to_string);
    // Some may be gone already, which is why the answer says nothing.
    let _ = Command::new("sh").args(["-c", script, "kill", name]).args(pids).status();
}

/// State and parent of a process.
fn look(stat: &str) -> Option<(&str, u32)> {
    // `pid (name) state parent …`, and the name may hold anything.
    let mut words = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    Some((words.next()?, words.next()?.parse().ok()?))
}

fn ps(args: &[&str]) -> String {
    let output = Command::new("ps").args(args).output();
    String::from_utf8_lossy(&output.expect("`ps` is needed where there is no /proc").stdout).into_owned()
}

fn children(parent: u32) -> Vec<u32> {
    if let Ok(entries) = fs::read_dir("/proc/self/..") {
        let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
        let is_child = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            look(&stat).is_some_and(|(_, p)| p == parent)
        };
        return pids.filter(is_child).collect();
    }
    let pairs = ps(&["-A", "-o", "pid=", "-o", "ppid="]);
    let pair = |line: &str| {
        let mut words = line.split_whitespace().map(str::parse::<u32>);
        Some((words.next()?.ok()?, words.next()?.ok()?))
    };
    pairs.lines().filter_map(pair).filter(|&(_, p)| p == parent).map(|(pid, _)| pid).collect()
}

/// True while the process runs. One that has ended and that nobody has asked about is not alive.
pub(super) fn alive(pid: u32) -> bool {
    if Path::new("/proc/self/stat").exists() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        return look(&stat).is_some_and(|(state, _)| !matches!(state, "Z" | "X"));
    }
    let stat = ps(&["-o", "stat=", "-p", &pid.to_string()]);
    !stat.trim().is_empty() && !stat.trim().starts_with('Z')
}
