//! One change posted to one URL, until it is accepted.

use super::alert::AlertChange;
use super::deliver::PATIENCE;
use crate::chance::Chance;
use crate::retry::{Backoff, FailureInfo, Jitter};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::rt::{Read, Write};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio_util::task::AbortOnDropHandle;

/// How long a change is tried.
const GIVE_UP: Duration = Duration::from_secs(60 * 60);
const DELAYS: Backoff = Backoff::Exponential {
    base: Duration::from_secs(1),
    factor: 2,
    max: Duration::from_secs(60),
    jitter: Jitter::Full,
};

/// Where to post. Shown without its path, which is often a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    tls: bool,
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let bad =
            |why: &str| format!("the URL of an alert webhook {why}; it is like https://example.com/alerts");
        let uri: Uri = url.parse().map_err(|_| bad("cannot be read"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad("does not begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| bad("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("has a user in it, which is not supported"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        Ok(Self { tls, host, port, authority: authority.to_string(), path })
    }
}

/// Posts a change until somebody accepts it; gives up after an hour.
pub(super) async fn deliver(url: &str, change: &AlertChange) {
    let Ok(target) = Target::parse(url) else { return };
    let body = Bytes::from(change.to_json());
    let (began, chance) = (Instant::now(), Chance::default());
    for tried in 1_u32.. {
        let answer = timeout(PATIENCE, post(&target, body.clone())).await;
        let why = match answer {
            Ok(Ok(status)) if status.is_success() => return,
            Ok(Ok(status)) => format!("it answered {status}"),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {PATIENCE:?}"),
        };
        let key = &change.alert.key;
        if began.elapsed() > GIVE_UP {
            tracing::error!(key, %target, why, "a webhook was not told of an alert, giving up");
            return;
        }
        if tried == 1 {
            tracing::warn!(key, %target, why, "a webhook could not be told of an alert, trying on");
        }
        sleep(DELAYS.delay_by(&FailureInfo::new(tried, &why), &chance)).await;
    }
}

async fn post(target: &Target, body: Bytes) -> Result<StatusCode, io::Error> {
    let tcp = TcpStream::connect((target.host.as_str(), target.port)).await?;
    if !target.tls {
        return exchange(target, body, TokioIo::new(tcp)).await;
    }
    let name = ServerName::try_from(target.host.clone()).map_err(io::Error::other)?;
    let tls = TlsConnector::from(tls()?).connect(name, tcp).await?;
    exchange(target, body, TokioIo::new(tls)).await
}

async fn exchange(
    target: &Target,
    body: Bytes,
    io: impl Read + Write + Unpin + Send + 'static,
) -> Result<StatusCode, io::Error> {
    let (mut sender, connection) = http1::handshake(io).await.map_err(io::Error::other)?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::post(&target.path)
        .header(HOST, &target.authority)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("steadfast/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(body))
        .map_err(io::Error::other)?;
    Ok(sender.send_request(request).await.map_err(io::Error::other)?.status())
}

/// The certificates that the system trusts, read once.
fn tls() -> Result<Arc<ClientConfig>, io::Error> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_checked_and_its_path_is_not_shown() {
        let target = Target::parse("https://[::1]:8443/hook/secret?x=1").expect("it is one");
        assert_eq!((target.tls, target.host.as_str(), target.port), (true, "::1", 8443));
        assert_eq!((target.path.as_str(), target.to_string().as_str()), ("/hook/secret?x=1", "[::1]:8443"));
        let short = Target::parse("http://example.com").expect("it is one");
        assert_eq!((short.port, short.path.as_str()), (80, "/"));
        for bad in ["", "example.com/x", "ftp://example.com", "https://", "http://me:pass@example.com/", "/x"]
        {
            let problem = Target::parse(bad).expect_err(bad);
            assert!(problem.contains("alert webhook") && !problem.contains("pass"), "{problem}");
        }
    }
}
