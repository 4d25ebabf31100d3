//! An HTTP service of the world outside. It lives in the process that kills all others, so what it has heard stays; it refuses
//! some calls before it hears of them, and loses some of its answers.

use crate::judge::event::Held;
use crate::judge::outside::{Call, Via, happened};
use job_core::{JobError, ResultExt as _};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The longest head of a request or an answer.
const HEAD_MAX: usize = 8 * 1024;
/// How long a caller waits for its answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
const KEY_HEADER: &str = "idempotency-key";
/// On whose behalf a call is made, as the fencing token of the job tells it.
const HOLD_HEADER: &str = "steadfast-hold";

/// What the service does to a call besides hearing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    /// 503, and nothing was heard.
    Refuses,
    /// The connection ends after the call was heard, before its answer.
    Loses,
    /// The same, in the middle of the answer.
    Cuts,
}

/// How often it was in which mood.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moods {
    pub(super) refused: u64,
    pub(super) lost: u64,
}

type Choose = Box<dyn FnMut() -> Mood + Send>;

struct Desk {
    state: Mutex<State>,
}

struct State {
    /// By key, in the order in which they were heard.
    calls: BTreeMap<String, Vec<Call>>,
    choose: Choose,
    moods: Moods,
}

/// The service. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Service {
    at: SocketAddr,
    desk: Arc<Desk>,
    task: JoinHandle<()>,
}

impl Service {
    /// On a free port of this machine. The seed decides which calls fail; without one, none does.
    pub(super) async fn start(seed: Option<u64>) -> io::Result<Self> {
        let Some(seed) = seed else { return Self::with(Box::new(|| Mood::Well)).await };
        let mut random = StdRng::seed_from_u64(seed);
        Self::with(Box::new(move || match random.random_range(0..20) {
            0 | 1 => Mood::Refuses,
            2 | 3 => Mood::Loses,
            4 => Mood::Cuts,
            _ => Mood::Well,
        }))
        .await
    }

    async fn with(choose: Choose) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let at = listener.local_addr()?;
        let state = State { calls: BTreeMap::new(), choose, moods: Moods::default() };
        let desk = Arc::new(Desk { state: Mutex::new(state) });
        let task = tokio::spawn(listen(listener, Arc::clone(&desk)));
        Ok(Self { at, desk, task })
    }

    pub(super) fn port(&self) -> u16 {
        self.at.port()
    }

    /// Everything that it has heard.
    pub(super) fn heard(&self) -> Vec<Call> {
        self.desk.state().calls.values().flatten().cloned().collect()
    }

    pub(super) fn moods(&self) -> Moods {
        self.desk.state().moods
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

async fn listen(listener: TcpListener, desk: Arc<Desk>) {
    // Only a broken socket of the listener itself ends it.
    while let Ok((stream, _)) = listener.accept().await {
        let desk = Arc::clone(&desk);
        // Whoever asks may be killed at any time.
        tokio::spawn(async move { drop(serve(stream, &desk).await) });
    }
}

async fn serve(mut stream: TcpStream, desk: &Desk) -> io::Result<()> {
    let request = Message::read(&mut stream).await?;
    let Some(call) = request.call() else {
        return stream.write_all(&answer("400 Bad Request", "")).await;
    };
    let (mood, reply) = desk.hear(call);
    match mood {
        Mood::Well | Mood::Refuses => stream.write_all(&reply).await,
        Mood::Loses => Ok(()),
        Mood::Cuts => stream.write_all(&reply[..reply.len() - 2]).await,
    }
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").into_bytes()
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call happens here, at one moment. Repeated ones are answered like the first, and counted each: that a key stands for
    /// one effect is for the judge to see, who would not see it if they were folded here.
    fn hear(&self, call: Call) -> (Mood, Vec<u8>) {
        let mut state = self.state();
        let mood = (state.choose)();
        if mood == Mood::Refuses {
            state.moods.refused += 1;
            return (mood, answer("503 Service Unavailable", "later"));
        }
        state.moods.lost += u64::from(mood != Mood::Well);
        let (asks, held) = (call.asks, call.held);
        let calls = state.calls.entry(call.key.clone()).or_default();
        calls.push(call);
        let happened = happened(calls);
        let reply = match (asks, happened.is_empty()) {
            (true, true) => answer("404 Not Found", "no"),
            (true, false) => answer("200 OK", "found"),
            (false, _) if happened.iter().any(|c| c.held == held) => answer("200 OK", "received"),
            // Somebody with a newer claim has been told that it has not happened.
            (false, _) => answer("409 Conflict", "late"),
        };
        (mood, reply)
    }
}

/// A request or an answer.
#[derive(Debug)]
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    /// An error if the connection ends before it does.
    async fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let head = loop {
            if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            if bytes.len() > HEAD_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let mut body = bytes.split_off(head + 4);
        let head = String::from_utf8_lossy(&bytes[..head]).into_owned();
        let mut message = Self { head, body: Vec::new() };
        let length = message.header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
        while body.len() < length {
            if stream.read_buf(&mut body).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        message.body = body;
        Ok(message)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    fn call(&self) -> Option<Call> {
        let (method, rest) = self.head.split_once(' ')?;
        let held = serde_json::from_str(self.header(HOLD_HEADER)?).ok()?;
        let (key, asks) = match method {
            "POST" => (self.header(KEY_HEADER)?, false),
            "GET" => (rest.split(' ').next()?.strip_prefix("/effects/")?, true),
            _ => return None,
        };
        Some(Call { key: key.to_owned(), held, asks, via: Via::Http })
    }

    fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

/// Those who call the service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    port: u16,
}

impl Caller {
    pub(super) fn new(port: u16) -> Self {
        Self { port }
    }

    /// Calls an effect by its key.
    pub(super) async fn post(&self, key: &str, held: Held) -> Result<String, JobError> {
        let answer = self.exchange("POST /effects", &format!("{KEY_HEADER}: {key}\r\n"), held).await?;
        match answer.status() {
            "200" => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
            refused @ ("409" | "503") => {
                Ok(Err(format!("the service refused the call: {refused}")).not_sent()?)
            }
            other => Err(JobError::retry(format!("the service answered {other}"))),
        }
    }

    /// Asks whether an effect has happened. If not, it will not by an older claim either.
    pub(super) async fn get(&self, key: &str, held: Held) -> Result<bool, JobError> {
        let answer = self.exchange(&format!("GET /effects/{key}"), "", held).await?;
        match answer.status() {
            "200" => Ok(true),
            "404" => Ok(false),
            other => Err(JobError::retry(format!("the service answered {other}"))),
        }
    }

    async fn exchange(&self, what: &str, header: &str, held: Held) -> Result<Message, JobError> {
        let address = (Ipv4Addr::LOCALHOST, self.port);
        let mut stream = TcpStream::connect(address).await.not_sent()?;
        let held = serde_json::to_string(&held).map_err(JobError::permanent)?;
        let request = format!(
            "{what} HTTP/1.1\r\nHost: outside\r\n{header}{HOLD_HEADER}: {held}\r\nContent-Length: 0\r\n\r\n"
        );
        let exchange = async {
            stream.write_all(request.as_bytes()).await?;
            Message::read(&mut stream).await
        };
        match tokio::time::timeout(ANSWER_MAX, exchange).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(JobError::retry("the service does not answer")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use job_core::{JobId, LeaseId};

    fn held(job: JobId, claims: u64) -> Held {
        Held { job, claims, lease: LeaseId::random() }
    }

    /// A service that is in these moods, one after the other, and then well.
    async fn service<const N: usize>(moods: [Mood; N]) -> (Service, Caller) {
        let mut moods = moods.into_iter();
        let service =
            Service::with(Box::new(move || moods.next().unwrap_or(Mood::Well))).await.expect("a port");
        let caller = Caller::new(service.port());
        (service, caller)
    }

    #[tokio::test]
    async fn whoever_asks_shuts_older_claims_out() {
        let (service, caller) = service([]).await;
        let (job, key) = (JobId::new(), "some-job/send");
        assert!(!caller.get(key, held(job, 2)).await.expect("an answer"));
        caller.post(key, held(job, 1)).await.expect_err("an older claim is refused");
        assert!(!caller.get(key, held(job, 3)).await.expect("an answer"));
        assert_eq!(caller.post(key, held(job, 3)).await.expect("an answer"), "received");
        assert!(caller.get(key, held(job, 4)).await.expect("an answer"));
        let heard = service.heard();
        assert_eq!((heard.len(), happened(&heard).len()), (5, 1));
        assert!(heard.iter().all(|c| c.key == key && c.via == Via::Http));
    }

    #[tokio::test]
    async fn what_is_refused_was_not_heard_and_what_is_lost_was() {
        let (service, caller) = service([Mood::Refuses, Mood::Loses, Mood::Cuts]).await;
        for heard in [0, 0, 1] {
            assert_eq!(service.heard().len(), heard);
            caller.post("key", held(JobId::new(), 1)).await.expect_err("it does not get its answer");
        }
        assert_eq!(service.moods(), Moods { refused: 1, lost: 2 });
        assert_eq!(service.heard().len(), 2);
        caller.post("key", held(JobId::new(), 1)).await.expect("it is well");
        let nobody = Caller::new(1);
        nobody.post("key", held(JobId::new(), 1)).await.expect_err("nobody is there");
    }
}
