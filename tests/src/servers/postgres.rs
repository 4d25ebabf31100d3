//! A private PostgreSQL.

use super::origin::{self, Origin, log};
use super::place::{free_port, private_dir, with_parameter};
use super::process::{User, Watched, alive, patiently};
use job_core::LeaseId;
use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The variable that names a server to use instead of starting one for [`PostgresServer::shared`].
pub const URL_VARIABLE: &str = "DATABASE_URL";

/// A PostgreSQL server for tests: private, on 127.0.0.1, gone with this value or with the process.
///
/// ```no_run
/// use job_conformance::servers::PostgresServer;
///
/// let server = PostgresServer::start();
/// let url = server.url();
/// server.kill9();
/// server.start_again();
/// assert_eq!(server.url(), url);
/// ```
#[derive(Debug)]
pub struct PostgresServer {
    origin: Origin<Home>,
}

/// What a server needs to start, and to start again.
#[derive(Debug)]
struct Home {
    dir: PathBuf,
    bin: PathBuf,
    user: Option<User>,
    port: u16,
    settings: Vec<(String, String)>,
}

/// How a server is set up.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct PostgresOptions {
    settings: Vec<(String, String)>,
    parent: Option<PathBuf>,
}

impl PostgresOptions {
    /// Without flushing to disk: for tests that do not ask what a power loss leaves.
    pub fn fast(self) -> Self {
        self.setting("fsync", "off").setting("full_page_writes", "off")
    }

    /// How many connections it takes; 100 unless told otherwise.
    pub fn max_connections(self, connections: u32) -> Self {
        self.setting("max_connections", &connections.to_string())
    }

    /// Any other setting of the server.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where its directory is made: a small disk, for instance. A short path, for it names a socket.
    pub fn within(self, parent: &Path) -> Self {
        Self { parent: Some(parent.to_owned()), ..self }
    }

    /// Sets the server up and starts it.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start; the text says what to do.
    #[must_use]
    pub fn start(self) -> PostgresServer {
        PostgresServer { origin: Origin::start(Home::make(self.settings, self.parent.as_deref())) }
    }
}

impl PostgresServer {
    /// Starts a server with the settings of a fresh installation: an acknowledged commit survives a power loss.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start; the text says what to do.
    #[must_use]
    pub fn start() -> Self {
        Self::options().start()
    }

    /// Starts to describe a server.
    pub fn options() -> PostgresOptions {
        PostgresOptions::default()
    }

    /// The one server that all tests of this process share: that of `DATABASE_URL` if it is set, otherwise a fast one
    /// of our own. Tests keep apart by their schemas, see [`fresh_url`](Self::fresh_url).
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start; the text says what to do.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(|| match env::var(URL_VARIABLE) {
            Ok(url) if !url.is_empty() => Self { origin: Origin::Given(url) },
            _ => Self::options().fast().max_connections(400).start(),
        })
    }

    /// The URL of its database `postgres`, or the one that was given.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.origin {
            Origin::Own { home, .. } => format!("postgres://postgres@127.0.0.1:{}/postgres", home.port),
            Origin::Given(url) => url.clone(),
        }
    }

    /// Where it listens.
    ///
    /// # Panics
    /// If it is not ours.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.origin.home().port
    }

    /// The URL of another of its databases.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        let url = self.url();
        let (address, query) = url.split_once('?').map_or((url.as_str(), None), |(a, q)| (a, Some(q)));
        let host = address.find("://").map_or(0, |at| at + 3);
        let end = address[host..].find('/').map_or(address.len(), |at| host + at);
        let query = query.map(|q| format!("?{q}")).unwrap_or_default();
        format!("{}/{database}{query}", &address[..end])
    }

    /// The URL with a schema that nobody has used, as `?schema=t_…`.
    #[must_use]
    pub fn fresh_url(&self) -> String {
        with_parameter(&self.url(), &format!("schema=t_{}", LeaseId::random().as_uuid().simple()))
    }

    /// Ends the server and all its children by SIGKILL at one instant. Its data stays.
    ///
    /// # Panics
    /// If it is not running, or is not ours to end.
    pub fn kill9(&self) {
        self.origin.kill9();
    }

    /// Ends the server in good order, without waiting for its clients. Its data stays.
    ///
    /// # Panics
    /// If it is not running, or is not ours to end.
    pub fn stop(&self) {
        self.origin.stop("INT");
    }

    /// Starts the server on the data that it left, under the same URL.
    ///
    /// # Panics
    /// If it runs, is not ours, or does not start.
    pub fn start_again(&self) {
        self.origin.start_again();
    }

    /// The id of its main process while it runs, if it is ours.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.origin.pid()
    }

    /// Where its data and its `log` are, if it is ours.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.origin.dir()
    }
}

impl origin::Home for Home {
    const NAME: &str = "PostgreSQL";
    const VARIABLE: &str = URL_VARIABLE;

    fn dir(&self) -> &Path {
        &self.dir
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn take_port(&mut self) {
        self.port = free_port(0);
    }

    fn try_start(&self) -> Option<Watched> {
        let mut args = vec!["-D".into(), self.data().into_os_string()];
        let sockets = self.dir.display().to_string();
        let port = self.port.to_string();
        let ours =
            [("listen_addresses", "127.0.0.1"), ("port", &port), ("unix_socket_directories", &sockets)];
        let theirs = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in ours.into_iter().chain(theirs) {
            args.extend(["-c".into(), format!("{name}={value}").into()]);
        }
        let said_before = log(&self.dir).len();
        let watched = Watched::start(&self.dir, self.user, "QUIT", &self.bin.join("postgres"), args);
        let mut ready = false;
        patiently("PostgreSQL takes connections", || {
            ready = self.is_ready(watched.pid);
            ready || !alive(watched.pid)
        });
        if ready {
            return Some(watched);
        }
        watched.end("KILL");
        let log = log(&self.dir);
        let said = log.get(said_before..).unwrap_or(&log);
        assert!(said.contains("could not bind"), "PostgreSQL did not start, it said:\n{said}");
        None
    }
}

impl Home {
    /// Makes the directory and the database files in it.
    fn make(settings: Vec<(String, String)>, parent: Option<&Path>) -> Self {
        let bin = programs();
        let dir = private_dir("pg", parent);
        let owner = fs::metadata(&dir).map_or(0, |m| m.uid());
        let user = (owner == 0).then(unprivileged);
        if let Some(user) = user {
            chown(&dir, Some(user.uid), Some(user.gid)).expect("root may give a directory away");
        }
        let home = Self { dir, bin, user, port: 0, settings };
        let mut initdb = Command::new(home.bin.join("initdb"));
        initdb.arg("-D").arg(home.data()).args(["-U", "postgres", "-A", "trust", "-E", "UTF8"]);
        initdb.args(["--locale=C", "--no-sync"]).current_dir(&home.dir);
        if let Some(user) = user {
            user.runs(&mut initdb);
        }
        let output = initdb.output().unwrap_or_else(|e| panic!("cannot run {:?}: {e}", initdb.get_program()));
        if !output.status.success() {
            let _ = fs::remove_dir_all(&home.dir);
            panic!("initdb failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        home
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What `pg_ctl -w` looks at: the server writes its state into the lock file.
    fn is_ready(&self, pid: u32) -> bool {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let lines: Vec<_> = file.lines().map(str::trim).collect();
        lines.first() == Some(&pid.to_string().as_str()) && lines.get(7) == Some(&"ready")
    }
}

/// Where PostgreSQL's server programs are.
fn programs() -> PathBuf {
    let on_path = env::var_os("PATH").into_iter().flat_map(|p| env::split_paths(&p).collect::<Vec<_>>());
    let mut places: Vec<PathBuf> = on_path.collect();
    let known = [
        ("/usr/lib/postgresql", "bin"),
        ("/usr/local/opt", "bin"),
        ("/opt/homebrew/opt", "bin"),
        ("/usr", "bin"),
    ];
    for (parent, below) in known {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten().map(|e| e.path());
        let name = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let mut found: Vec<_> =
            entries.filter(|p| parent.ends_with("postgresql") || is_install(&name(p))).collect();
        found.sort_by_key(|p| std::cmp::Reverse(version(&name(p))));
        places.extend(found.into_iter().map(|p| p.join(below)));
    }
    let complete = |dir: &PathBuf| dir.join("initdb").is_file() && dir.join("postgres").is_file();
    places.into_iter().find(complete).unwrap_or_else(|| {
        panic!(
            "PostgreSQL's server programs (initdb, postgres) are neither on PATH nor where systems keep them: \
             install them (Debian: apt-get install postgresql; Fedora: dnf install postgresql-server; \
             macOS: brew install postgresql), or set {URL_VARIABLE} for the tests that share a server"
        )
    })
}

fn is_install(name: &str) -> bool {
    name.starts_with("pgsql-") || name.starts_with("postgresql")
}

fn version(name: &str) -> u32 {
    name.rsplit(['-', '@']).next().and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// A user who may run PostgreSQL, which refuses root.
fn unprivileged() -> User {
    let file = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        let fields: Vec<_> = file.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f[0] == name)?;
        Some(User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    };
    find("postgres").or_else(|| find("nobody")).expect(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as: add one",
    )
}
