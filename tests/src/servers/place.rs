//! Where a private server lives: a directory and a port that nobody else has.

use job_core::LeaseId;
use std::env;
use std::fs::DirBuilder;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Makes a directory for one server in `parent`, or where temporary files are. Its path is short, for that of a socket
/// has 100 bytes or so.
///
/// # Panics
/// If it cannot be made.
pub(super) fn private_dir(what: &str, parent: Option<&Path>) -> PathBuf {
    let usual = if Path::new("/tmp").is_dir() { PathBuf::from("/tmp") } else { env::temp_dir() };
    // The end of an id is random, its start is the time.
    let name = format!("steadfast-{what}-{}", &LeaseId::random().to_string()[24..]);
    let dir = parent.unwrap_or(&usual).join(name);
    DirBuilder::new()
        .mode(0o700)
        .create(&dir)
        .unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
    dir
}

/// A port below those that systems give to outgoing connections, so that it is free again after a restart. The port this
/// much `above` it is free as well, and as low.
pub(super) fn free_port(above: u16) -> u16 {
    for _ in 0..1_000 {
        let bits = LeaseId::random().as_uuid().as_u128();
        let range = 15_000 - above.min(10_000);
        let port = 15_000 + u16::try_from(bits % u128::from(range)).expect("it is below 15,000");
        if [port, port + above].iter().all(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()) {
            return port;
        }
    }
    panic!("no free port was found on 127.0.0.1");
}

/// The programs with this name: those on PATH, then those in `known`.
pub(super) fn program(name: &str, known: &[&str]) -> Option<PathBuf> {
    let on_path = env::var_os("PATH").into_iter().flat_map(|p| env::split_paths(&p).collect::<Vec<_>>());
    on_path.chain(known.iter().map(PathBuf::from)).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// A URL with one more parameter.
pub(crate) fn with_parameter(url: &str, parameter: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{parameter}")
}
