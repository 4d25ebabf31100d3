//! A downstream that drowns: it fails whatever comes while it has 50 requests, and here come 10,000 jobs for it, from two
//! runtimes with room for 400 handlers. First without a limit, then with one of 50 that both share, then with one that starts at
//! 400 and has to find out.
//!
//! `cargo run --release --example drowned`

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use steadfast::memory::MemoryBackend;
use steadfast::{JobResult, Limit, Queue, Runtime, RuntimeBuilder, State, job, jobs};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What the service can do at one time, and how long it takes for one.
const ROOM: usize = 50;
const WORK: Duration = Duration::from_millis(50);
const JOBS: usize = 10_000;

/// An HTTP service that answers 503 while it is full, and takes as long to say so: it is drowning.
#[derive(Default)]
struct Service {
    busy: AtomicUsize,
    served: AtomicUsize,
    refused: AtomicUsize,
}

impl Service {
    async fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut request = [0; 1024];
        while stream.read(&mut request).await? > 0 {
            let full = self.busy.fetch_add(1, Ordering::SeqCst) >= ROOM;
            tokio::time::sleep(WORK).await;
            self.busy.fetch_sub(1, Ordering::SeqCst);
            let (count, status) =
                if full { (&self.refused, "503 Service Unavailable") } else { (&self.served, "200 OK") };
            count.fetch_add(1, Ordering::SeqCst);
            stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await?;
        }
        Ok(())
    }

    async fn listen(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let service = Arc::clone(&self);
            tokio::spawn(async move { service.answer(stream).await });
        }
    }
}

/// A connection a handler, kept between jobs.
struct Http {
    address: std::net::SocketAddr,
    idle: std::sync::Mutex<Vec<TcpStream>>,
}

impl Http {
    async fn post(&self, id: usize) -> std::io::Result<bool> {
        let idle = self.idle.lock().expect("nothing panics here").pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => TcpStream::connect(self.address).await?,
        };
        stream.write_all(format!("POST /charge/{id} HTTP/1.1\r\nHost: service\r\n\r\n").as_bytes()).await?;
        let mut answer = [0; 256];
        let n = stream.read(&mut answer).await?;
        self.idle.lock().expect("nothing panics here").push(stream);
        Ok(answer[..n].starts_with(b"HTTP/1.1 200"))
    }
}

#[job(retries = unlimited, backoff(fixed, base = "100ms"))]
async fn charge_freely(id: usize, State(http): State<Http>) -> JobResult {
    if http.post(id).await? { Ok(()) } else { Err("the service is drowning".into()) }
}

#[job(retries = unlimited, backoff(fixed, base = "100ms"), limits = ["service"])]
async fn charge(id: usize, State(http): State<Http>) -> JobResult {
    if http.post(id).await? { Ok(()) } else { Err("the service is drowning".into()) }
}

#[job(retries = unlimited, backoff(fixed, base = "100ms"), limits = ["unknown"])]
async fn charge_carefully(id: usize, State(http): State<Http>) -> JobResult {
    if http.post(id).await? { Ok(()) } else { Err("the service is drowning".into()) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Free,
    Limited,
    Adaptive,
}

/// What came of it.
struct Outcome {
    took: Duration,
    failures: usize,
    /// How much of what the service could do was used.
    used: f64,
}

async fn measure(way: Way) -> Result<Outcome, Box<dyn Error>> {
    let service = Arc::new(Service::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let http = Arc::new(Http { address: listener.local_addr()?, idle: std::sync::Mutex::default() });
    let server = tokio::spawn(Arc::clone(&service).listen(listener));
    let store = MemoryBackend::new();
    let runtime = || -> RuntimeBuilder {
        Runtime::builder(store.clone())
            .jobs(jobs![charge, charge_freely, charge_carefully])
            .state_arc(Arc::clone(&http))
            .limit("service", Limit::concurrency(50))
            .limit("unknown", Limit::concurrency(400).adaptive(2))
            .queue("default", Queue::concurrency(200))
    };
    let (one, other) = (runtime().build()?, runtime().build()?);
    let client = one.client();
    match way {
        Way::Free => client.enqueue_all((0..JOBS).map(ChargeFreely::new)).await?,
        Way::Limited => client.enqueue_all((0..JOBS).map(Charge::new)).await?,
        Way::Adaptive => client.enqueue_all((0..JOBS).map(ChargeCarefully::new)).await?,
    };
    let began = Instant::now();
    let (one, other) = (one.start(), other.start());
    // Without the limit it may never get there.
    while service.served.load(Ordering::SeqCst) < JOBS && began.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = began.elapsed();
    one.shutdown().await?;
    other.shutdown().await?;
    server.abort();
    let served = service.served.load(Ordering::SeqCst);
    let could = took.as_secs_f64() / WORK.as_secs_f64() * 50.0;
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let used = served as f64 / could;
    Ok(Outcome { took, failures: service.refused.load(Ordering::SeqCst), used })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("{JOBS} jobs for a service that fails above {ROOM} requests at one time");
    for way in [Way::Free, Way::Limited, Way::Adaptive] {
        let Outcome { took, failures, used } = measure(way).await?;
        let what = match way {
            Way::Free => "no limit      ",
            Way::Limited => "limit of 50   ",
            Way::Adaptive => "adaptive limit",
        };
        let full = format!("{:.0} %", used * 100.0);
        println!(
            "  {what}: {took:>6.1?}, {failures:>6} failures, {full:>5} of what the service can do was used"
        );
        assert!(way != Way::Limited || failures == 0, "a limit that both runtimes share lets nothing fail");
    }
    Ok(())
}
