//! The driver's release 0.9.0 leaves Nagle's algorithm on: the end of a statement that fills more than one packet waits
//! for a delayed acknowledgement, 40 ms. The driver does not lend its sockets, so they are found among our own descriptors.
//! To be removed with the driver's next release.

use rustix::fs::readlink;
use rustix::net::sockopt::{set_tcp_nodelay, tcp_nodelay};
use rustix::net::{SocketAddrAny, getpeername};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// Turns Nagle's algorithm off for this process's connections to `port`. What cannot be done is left as it is.
pub(crate) fn set(port: u16) {
    let _ = try_set(port);
}

fn try_set(port: u16) -> std::io::Result<()> {
    let process = pidfd_open(getpid(), PidfdFlags::empty())?;
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let Some(number) = name.to_str().and_then(|n| n.parse().ok()) else { continue };
        let target = readlink(format!("/proc/self/fd/{number}"), Vec::new()).unwrap_or_default();
        if !target.as_bytes().starts_with(b"socket:") {
            continue;
        }
        let Ok(socket) = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) else { continue };
        if peer_port(getpeername(&socket).ok().flatten()) == Some(port) && tcp_nodelay(&socket) == Ok(false) {
            set_tcp_nodelay(&socket, true)?;
        }
    }
    Ok(())
}

fn peer_port(peer: Option<SocketAddrAny>) -> Option<u16> {
    let address: std::net::SocketAddr = peer?.try_into().ok()?;
    Some(address.port())
}
