//! A private Redis.

use super::origin::{self, Origin, log};
use super::place::{free_port, private_dir, program, with_parameter};
use super::process::{Watched, alive, patiently};
use job_core::LeaseId;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The variable that names a server to use instead of starting one for [`RedisServer::shared`].
pub const URL_VARIABLE: &str = "REDIS_URL";

/// Where systems keep programs, beside PATH.
const KNOWN: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/usr/sbin"];
/// The port of a node for other nodes is this much above the one for clients.
const TO_NODES: u16 = 10_000;

/// A Redis server for tests: private, on 127.0.0.1, gone with this value or with the process.
///
/// ```no_run
/// use job_conformance::servers::RedisServer;
///
/// let server = RedisServer::start();
/// server.cli(&["set", "key", "kept"]);
/// server.kill9();
/// server.start_again();
/// assert_eq!(server.cli(&["get", "key"]), "kept");
/// ```
#[derive(Debug)]
pub struct RedisServer {
    origin: Origin<Home>,
}

/// What a server needs to start, and to start again.
#[derive(Debug)]
struct Home {
    dir: PathBuf,
    program: PathBuf,
    node: bool,
    port: u16,
    settings: Vec<(String, String)>,
}

/// How a server is set up.
#[derive(Debug, Clone)]
#[must_use]
pub struct RedisOptions {
    settings: Vec<(String, String)>,
    program: Option<PathBuf>,
    node: bool,
}

impl RedisOptions {
    /// Without files: for tests that do not ask what a crash leaves.
    pub fn fast(self) -> Self {
        self.setting("appendonly", "no")
    }

    /// Any other setting of the server, as in its configuration file.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another program than the `redis-server` that is installed.
    pub fn program(self, path: impl Into<PathBuf>) -> Self {
        Self { program: Some(path.into()), ..self }
    }

    /// A node of a cluster, which has a second port.
    pub(super) fn node(self) -> Self {
        Self { node: true, ..self.setting("cluster-enabled", "yes") }
    }

    /// Sets the server up and starts it.
    ///
    /// # Panics
    /// If Redis is not installed or does not start; the text says what to do.
    #[must_use]
    pub fn start(self) -> RedisServer {
        let program = self.program.unwrap_or_else(installed);
        let (settings, node) = (self.settings, self.node);
        let home = Home { dir: private_dir("redis", None), program, node, port: 0, settings };
        RedisServer { origin: Origin::start(home) }
    }
}

impl RedisServer {
    /// Starts a server that flushes each write before it answers: what was acknowledged survives a crash.
    ///
    /// # Panics
    /// If Redis is not installed or does not start; the text says what to do.
    #[must_use]
    pub fn start() -> Self {
        Self::options().start()
    }

    /// Starts to describe a server.
    pub fn options() -> RedisOptions {
        let settings = [("save", ""), ("appendonly", "yes"), ("appendfsync", "always")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        RedisOptions { settings: settings.into(), program: None, node: false }
    }

    /// The one server that all tests of this process share: that of `REDIS_URL` if it is set, otherwise a fast one of our
    /// own. Tests keep apart by their prefixes, see [`fresh_url`](Self::fresh_url).
    ///
    /// # Panics
    /// If Redis is not installed or does not start; the text says what to do.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<RedisServer> = OnceLock::new();
        SHARED.get_or_init(|| match env::var(URL_VARIABLE) {
            Ok(url) if !url.is_empty() => Self { origin: Origin::Given(url) },
            _ => Self::options().fast().start(),
        })
    }

    /// Its URL, or the one that was given.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.origin {
            Origin::Own { home, .. } => {
                let password = home.password().map(|p| format!(":{p}@")).unwrap_or_default();
                format!("redis://{password}127.0.0.1:{}", home.port)
            }
            Origin::Given(url) => url.clone(),
        }
    }

    /// The URL with a prefix that nobody has used, as `?prefix=t_…`.
    #[must_use]
    pub fn fresh_url(&self) -> String {
        with_parameter(&self.url(), &format!("prefix=t_{}", LeaseId::random().as_uuid().simple()))
    }

    /// Where it listens.
    ///
    /// # Panics
    /// If it is not ours.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.origin.home().port
    }

    /// The path of its socket.
    ///
    /// # Panics
    /// If it is not ours.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.origin.home().socket()
    }

    /// What `redis-cli` with these arguments prints, without the last line end. An error of the server is an answer too.
    ///
    /// # Panics
    /// If it cannot be run, or does not reach the server.
    pub fn cli(&self, args: &[&str]) -> String {
        self.try_cli(args).unwrap_or_else(|said| panic!("redis-cli {}: {said}", args.join(" ")))
    }

    /// The same, for a server that may be away.
    ///
    /// # Errors
    /// What `redis-cli` says if it does not reach the server.
    ///
    /// # Panics
    /// If it cannot be run.
    pub fn try_cli(&self, args: &[&str]) -> Result<String, String> {
        let mut command = match &self.origin {
            Origin::Own { home, .. } => {
                let mut command = Command::new(cli_beside(&home.program));
                command.args(["-h", "127.0.0.1", "-p", &home.port.to_string()]);
                // In a URL, some versions take a password without a user for one of a user without a name.
                command.envs(home.password().map(|password| ("REDISCLI_AUTH", password)));
                command
            }
            Origin::Given(url) => {
                let mut command = Command::new(cli_beside(&installed()));
                // What follows the question mark is for backends.
                command.args(["--no-auth-warning", "-u", url.split('?').next().unwrap_or_default()]);
                command
            }
        };
        command.args(args);
        let output =
            command.output().unwrap_or_else(|e| panic!("cannot run {:?}: {e}", command.get_program()));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Ends the server and all its children by SIGKILL at one instant. Its files stay.
    ///
    /// # Panics
    /// If it is not running, or is not ours to end.
    pub fn kill9(&self) {
        self.origin.kill9();
    }

    /// Ends the server in good order. Its files stay.
    ///
    /// # Panics
    /// If it is not running, or is not ours to end.
    pub fn stop(&self) {
        self.origin.stop("TERM");
    }

    /// Starts the server on the files that it left, under the same URL, and waits until it has read them.
    ///
    /// # Panics
    /// If it runs, is not ours, or does not start.
    pub fn start_again(&self) {
        self.origin.start_again();
    }

    /// The id of its process while it runs, if it is ours.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.origin.pid()
    }

    /// Where its files and its `log` are, if it is ours.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.origin.dir()
    }
}

impl origin::Home for Home {
    const NAME: &str = "Redis";
    const VARIABLE: &str = URL_VARIABLE;

    fn dir(&self) -> &Path {
        &self.dir
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn take_port(&mut self) {
        self.port = free_port(if self.node { TO_NODES } else { 0 });
    }

    fn try_start(&self) -> Option<Watched> {
        let config = self.dir.join("redis.conf");
        fs::write(&config, self.config())
            .unwrap_or_else(|e| panic!("cannot write {}: {e}", config.display()));
        let said_before = log(&self.dir).len();
        // Nothing is kept, so nothing has to be told to it: SIGKILL, which it cannot put off.
        let watched = Watched::start(&self.dir, None, "KILL", &self.program, [config]);
        let mut ready = false;
        patiently("Redis answers", || {
            ready = self.is_ready();
            ready || !alive(watched.pid)
        });
        if ready {
            return Some(watched);
        }
        watched.end("KILL");
        let log = log(&self.dir);
        let said = log.get(said_before..).unwrap_or(&log);
        assert!(said.contains("Address already in use"), "Redis did not start, it said:\n{said}");
        None
    }
}

impl Home {
    fn socket(&self) -> PathBuf {
        self.dir.join("redis.sock")
    }

    fn password(&self) -> Option<&str> {
        self.settings.iter().rev().find(|(name, _)| name == "requirepass").map(|(_, value)| value.as_str())
    }

    fn config(&self) -> String {
        let port = self.port.to_string();
        let socket = self.socket().display().to_string();
        let ours = [("bind", "127.0.0.1"), ("port", &port), ("unixsocket", &socket)];
        let theirs = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        ours.into_iter().chain(theirs).fold(String::new(), |mut config, (name, value)| {
            let value = if value.is_empty() { "\"\"" } else { value };
            writeln!(config, "{name} {value}").expect("a string has room");
            config
        })
    }

    /// Asks at its socket: nobody else can answer there.
    fn is_ready(&self) -> bool {
        let ask = || {
            let mut stream = UnixStream::connect(self.socket()).ok()?;
            let hello = self.password().map(|p| format!("AUTH {p}\r\n")).unwrap_or_default();
            stream.write_all(format!("{hello}PING\r\nQUIT\r\n").as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer.contains("PONG"))
        };
        ask().unwrap_or(false)
    }
}

/// The server's program that the system has.
fn installed() -> PathBuf {
    let found = ["redis-server", "valkey-server"].iter().find_map(|name| program(name, &KNOWN));
    found.unwrap_or_else(|| {
        panic!(
            "Redis (redis-server) is neither on PATH nor where systems keep it: install it \
             (Debian: apt-get install redis-server; Fedora: dnf install redis; macOS: brew install redis), \
             or set {URL_VARIABLE} for the tests that share a server"
        )
    })
}

/// The client that came with this server, or another one.
fn cli_beside(server: &Path) -> PathBuf {
    let name = server.file_name().map(|n| n.to_string_lossy().replace("-server", "-cli"));
    let beside = name.map(|name| server.with_file_name(name)).filter(|cli| cli != server && cli.is_file());
    beside.or_else(|| program("redis-cli", &KNOWN)).unwrap_or_else(|| {
        panic!(
            "redis-cli is neither beside {} nor on PATH: install it (Debian: redis-tools)",
            server.display()
        )
    })
}
