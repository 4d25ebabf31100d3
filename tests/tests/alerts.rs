//! Alerts of whole runtimes, on the in-memory backend.

mod support;

use backend_memory::MemoryBackend;
use job_core::{
    ActiveAlert, AlertChange, AlertEvent, Alerts, ErrorKind, Kind, NewJob, Operate, QueueName, Rule,
};
use job_core::{ResultExt as _, RunningRuntime, Runtime};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Act, Fault, Faulty, Log, QUEUE, Script, dead, runtime, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

fn memory() -> Arc<dyn Operate> {
    Arc::new(MemoryBackend::new())
}

/// Jobs die until the switch is on.
fn mortal(cured: &Arc<AtomicBool>) -> Script {
    let cured = Arc::clone(cured);
    Script::new(move |_, _| {
        let cured = cured.load(Ordering::SeqCst);
        async move { if cured { Ok(()) } else { Err("no").permanent().map_err(Into::into) } }
    })
}

fn keys(alerts: &[ActiveAlert]) -> Vec<&str> {
    alerts.iter().map(|a| a.key.as_str()).collect()
}

fn line(change: &AlertChange) -> String {
    let event = if change.event == AlertEvent::Raised { "raised" } else { "cleared" };
    format!("{event} {} {}", change.alert.key, change.alert.value)
}

/// The same alerts, and what is told of them.
fn told(alerts: Alerts) -> (Alerts, Log) {
    let log = Log::default();
    let lines = log.clone();
    let alerts = alerts.on_change(move |change| {
        lines.add(line(&change));
        async {}
    });
    (alerts, log)
}

async fn replay_all(running: &RunningRuntime) {
    let ids: Vec<_> = dead(running.client()).await.iter().map(|j| j.id).collect();
    running.client().backend().replay(&ids).await.expect("replay works");
}

/// The log of this thread, as text.
#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panics here").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Text {
    fn lines_with(&self, word: &str) -> Vec<String> {
        let text = self.0.lock().expect("no test panics here").clone();
        let text = String::from_utf8(text).expect("a log is text");
        text.lines().filter(|l| l.contains(word)).map(str::to_owned).collect()
    }

    /// Collects what this thread logs until the guard is dropped.
    fn collect() -> (Self, impl Drop) {
        use tracing_subscriber::util::SubscriberInitExt as _;
        let text = Self::default();
        let writer = text.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (text, subscriber.set_default())
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_dead_job_is_an_alert_until_it_is_replayed() {
    let (log, _guard) = Text::collect();
    let cured = Arc::default();
    // Nothing is configured.
    let running = runtime(memory(), mortal(&cured)).build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    until("an alert", async || !running.alerts().is_empty()).await;
    let alerts = running.alerts();
    assert_eq!(keys(&alerts), ["dead_depth/default"]);
    assert_eq!((alerts[0].value, alerts[0].threshold, alerts[0].unit.as_str()), (1, 1, "jobs"));
    cured.store(true, Ordering::SeqCst);
    replay_all(&running).await;
    until("no alert", async || running.alerts().is_empty()).await;
    running.shutdown().await.unwrap();
    let raised = log.lines_with("alert raised");
    assert!(raised.len() == 1 && raised[0].contains("ERROR"), "{raised:?}");
    assert!(raised[0].contains("queue default has 1 dead job"), "{raised:?}");
    assert_eq!(log.lines_with("alert cleared").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn dead_jobs_of_a_queue_that_nobody_works_on_are_seen() {
    let backend = memory();
    let cured = Arc::default();
    let first = runtime(Arc::clone(&backend), mortal(&cured)).build().unwrap().start();
    first.client().enqueue(Act { n: 1 }).await.unwrap();
    until("it is dead", async || !dead(first.client()).await.is_empty()).await;
    first.shutdown().await.unwrap();
    // This one does not have that queue.
    let other = runtime(backend, mortal(&cured)).queue("other", job_core::Queue::default());
    let other = other.only_queues(["other"]).build().unwrap().start();
    until("an alert", async || !other.alerts().is_empty()).await;
    assert_eq!(keys(&other.alerts()), ["dead_depth/default"]);
    other.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_alert_between_its_levels_stays_as_it_is() {
    let cured = Arc::default();
    let hold = Duration::from_secs(60);
    let rule = Rule::dead_depth(3).clears_below(2).held_for(hold);
    let (alerts, log) = told(Alerts::off().rule(rule).every(Duration::from_secs(5)));
    let running = runtime(memory(), mortal(&cured)).alerts(alerts).build().unwrap().start();
    let client = running.client();
    client.enqueue_all((0..3).map(|n| Act { n })).await.unwrap();
    sleep(hold - Duration::from_secs(10)).await;
    assert!(running.alerts().is_empty(), "it has not held for long enough");
    sleep(Duration::from_secs(20)).await;
    assert_eq!(keys(&running.alerts()), ["dead_depth/default"]);
    let ids: Vec<_> = dead(client).await.iter().map(|j| j.id).collect();
    client.backend().discard(&ids[..1]).await.unwrap();
    sleep(hold * 3).await;
    assert_eq!(running.alerts().len(), 1, "two dead jobs are below one level and at the other");
    client.backend().discard(&ids[1..2]).await.unwrap();
    sleep(hold - Duration::from_secs(10)).await;
    assert_eq!(running.alerts().len(), 1, "it has not been over for long enough");
    sleep(Duration::from_secs(20)).await;
    assert!(running.alerts().is_empty());
    running.shutdown().await.unwrap();
    assert_eq!(log.lines(), ["raised dead_depth/default 3", "cleared dead_depth/default 1"]);
}

#[tokio::test(start_paused = true)]
async fn jobs_that_nobody_takes_are_seen() {
    let backend = memory();
    let (alerts, log) = told(Alerts::default());
    let running =
        runtime(Arc::clone(&backend), mortal(&Arc::default())).alerts(alerts).build().unwrap().start();
    let elsewhere = QueueName::from_static("elsewhere");
    let unknown = NewJob::new(Kind::from_static("unknown"), QUEUE, "{}");
    let stranded = NewJob::new(Kind::from_static("act"), elsewhere.clone(), "{}");
    running.client().enqueue_new(&[unknown.clone(), stranded]).await.unwrap();
    sleep(Duration::from_secs(100)).await;
    assert!(running.alerts().is_empty(), "another worker may take them");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(keys(&running.alerts()), ["no_worker/default/unknown", "no_worker/elsewhere/act"]);
    sleep(Duration::from_secs(180)).await;
    let all = [
        "no_worker/default/unknown",
        "no_worker/elsewhere/act",
        "oldest_ready/default",
        "oldest_ready/elsewhere",
    ];
    assert_eq!(keys(&running.alerts()), all);
    backend.cancel(unknown.id).await.unwrap();
    until("two are over", async || running.alerts().len() == 2).await;
    assert_eq!(log.count("raised"), 4);
    assert_eq!(log.count("cleared"), 2);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_scheduled_long_ago_has_not_been_ready_for_long() {
    let (alerts, log) = told(Alerts::default());
    let script = Script::new(|_, _| async {
        sleep(Duration::from_secs(20)).await;
        Ok(())
    });
    let options = job_core::Queue::concurrency(1).prefetch_max(0);
    let running = runtime(memory(), script).default_queue(options).alerts(alerts).build().unwrap().start();
    for n in 0..6 {
        running.client().enqueue(Act { n }).delay(Duration::from_secs(3600)).await.unwrap();
    }
    sleep(Duration::from_secs(3600 + 200)).await;
    running.shutdown().await.unwrap();
    assert_eq!(log.lines(), [""; 0], "an hour of waiting was wanted");
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_panics_or_never_ends_harms_nobody() {
    let cured = Arc::default();
    let alerts = Alerts::default()
        .on_change(|change| async move { panic!("on purpose: {}", change.alert.key) })
        .on_change(|_| std::future::pending());
    let (alerts, log) = told(alerts);
    let running = runtime(memory(), mortal(&cured)).alerts(alerts).build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    until("it is told", async || log.count("raised") == 1).await;
    cured.store(true, Ordering::SeqCst);
    replay_all(&running).await;
    until("its end is told", async || log.count("cleared") == 1).await;
    assert_eq!(running.shutdown().await.unwrap().left_to_expire, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_raised_last_is_told_before_the_runtime_ends() {
    let log = Log::default();
    let lines = log.clone();
    let alerts = Alerts::default().on_change(move |change| {
        let lines = lines.clone();
        async move {
            sleep(Duration::from_secs(1)).await;
            lines.add(line(&change));
        }
    });
    let running = runtime(memory(), mortal(&Arc::default())).alerts(alerts).build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    until("it is raised", async || !running.alerts().is_empty()).await;
    running.shutdown().await.unwrap();
    assert_eq!(log.lines(), ["raised dead_depth/default 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_changes_no_alert() {
    let away = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&away);
    let plan = move |what: &str| match (gone.load(Ordering::SeqCst), what) {
        (true, "gauges") => Fault::NotApplied(ErrorKind::Transient),
        (true, "queues") => Fault::Hang,
        _ => Fault::None,
    };
    let cured = Arc::default();
    let backend = Faulty::over(memory(), plan);
    let (alerts, log) = told(Alerts::default());
    let running = runtime(backend, mortal(&cured)).alerts(alerts).build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    until("an alert", async || !running.alerts().is_empty()).await;
    away.store(true, Ordering::SeqCst);
    cured.store(true, Ordering::SeqCst);
    replay_all(&running).await;
    sleep(Duration::from_secs(300)).await;
    assert_eq!(running.alerts().len(), 1, "nobody knows");
    away.store(false, Ordering::SeqCst);
    until("it is over", async || running.alerts().is_empty()).await;
    assert_eq!(log.lines(), ["raised dead_depth/default 1", "cleared dead_depth/default 0"]);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn everybody_sees_what_any_runtime_has_raised() {
    let (log, _guard) = Text::collect();
    let refuses = Arc::new(AtomicBool::new(false));
    let on = Arc::clone(&refuses);
    let plan = move |what: &str| match what {
        "report_alerts" if on.load(Ordering::SeqCst) => Fault::NotApplied(ErrorKind::Transient),
        _ => Fault::None,
    };
    let store = memory();
    let seen = async || store.alerts().await.expect("a look works");
    let cured = Arc::default();
    let one = runtime(Arc::clone(&store), mortal(&cured)).build().unwrap().start();
    let other = runtime(Faulty::over(Arc::clone(&store), plan), mortal(&cured)).build().unwrap().start();
    one.client().enqueue(Act { n: 1 }).await.unwrap();
    until("both say so", async || seen().await.len() == 2).await;
    let (alerts, mine) = (seen().await, one.alerts().remove(0));
    let same = alerts.iter().find(|a| a.worker.to_string() == mine.worker).expect("its own is there");
    assert_eq!((&same.rule, &same.queue), (&mine.rule, &mine.queue));
    assert_eq!((&same.message, same.since), (&mine.message, mine.since));
    sleep(Duration::from_secs(600)).await;
    assert_eq!(seen().await.len(), 2, "it is said again for as long as it is so");
    refuses.store(true, Ordering::SeqCst);
    sleep(Duration::from_secs(60)).await;
    assert_eq!((seen().await.len(), other.alerts().len()), (1, 1));
    refuses.store(false, Ordering::SeqCst);
    until("it is there again", async || seen().await.len() == 2).await;
    other.shutdown().await.unwrap();
    assert_eq!(seen().await.len(), 1, "one that ends takes its report away");
    cured.store(true, Ordering::SeqCst);
    replay_all(&one).await;
    until("it is over", async || seen().await.is_empty()).await;
    assert!(log.lines_with("could not be reported").is_empty(), "that is said at level DEBUG");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_report() {
    let plan = |what: &str| if what == "report_alerts" { Fault::Hang } else { Fault::None };
    let running = runtime(Faulty::over(memory(), plan), mortal(&Arc::default())).build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    until("an alert", async || !running.alerts().is_empty()).await;
    let began = tokio::time::Instant::now();
    running.shutdown().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn off_is_said_and_looks_at_nothing() {
    let (log, _guard) = Text::collect();
    let plan = |what: &str| if matches!(what, "gauges" | "queues") { Fault::Panic } else { Fault::None };
    let backend = Faulty::over(memory(), plan);
    let running = runtime(backend, mortal(&Arc::default())).alerts(Alerts::off()).build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    sleep(Duration::from_secs(600)).await;
    assert_eq!((running.alerts(), dead(running.client()).await.len()), (vec![], 1));
    running.shutdown().await.unwrap();
    let said = log.lines_with("alerts are off");
    assert!(said.len() == 1 && said[0].contains("WARN"), "{said:?}");
    assert!(log.lines_with("panicked").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_is_looked_at_again() {
    let panics = Arc::new(AtomicBool::new(true));
    let on = Arc::clone(&panics);
    let plan = move |what: &str| {
        if what == "gauges" && on.load(Ordering::SeqCst) { Fault::Panic } else { Fault::None }
    };
    let running = runtime(Faulty::over(memory(), plan), mortal(&Arc::default())).build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert!(running.alerts().is_empty());
    panics.store(false, Ordering::SeqCst);
    until("an alert", async || !running.alerts().is_empty()).await;
    running.shutdown().await.unwrap();
}

#[test]
fn mistakes_are_reported_by_build() {
    let alerts = Alerts::default()
        .rule(Rule::dead_depth(0))
        .rule(Rule::queue_depth(5).clears_below(6))
        .rule(Rule::queue_depth(2_000_000).named("many"))
        .rule(Rule::dead_growth(5, Duration::ZERO))
        .rule(Rule::dead_depth(5).named("Bad name"))
        .rule(Rule::dead_depth(5).named("one").only_queue("no good"))
        .every(Duration::ZERO)
        .webhook("ftp://example.com/secret");
    let runtime =
        Runtime::builder(memory()).job::<Act>().state(mortal(&Arc::default())).alerts(alerts).build();
    let error = runtime.expect_err("it is full of mistakes");
    assert_eq!(error.problems().len(), 8, "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

/// Reads one request and answers it with this status; closes the connection without an answer for none.
async fn serve_one(mut stream: TcpStream, status: Option<&str>) -> String {
    let mut request = Vec::new();
    loop {
        let mut part = [0; 1024];
        let read = stream.read(&mut part).await.expect("a request");
        request.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        if let Some(status) = status {
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.expect("an answer");
        }
        assert!(head.starts_with("POST /hook?token=1 HTTP/1.1\r\n"), "{head}");
        return body.to_owned();
    }
}

/// In real time, because the requests go through the network of this machine.
#[tokio::test]
async fn a_webhook_that_is_down_is_told_once_it_is_up() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=1", server.local_addr().unwrap());
    let alerts = Alerts::default().every(Duration::from_millis(100)).webhook(url);
    let cured = Arc::default();
    let running = runtime(memory(), mortal(&cured)).alerts(alerts).build().unwrap().start();
    running.client().enqueue(Act { n: 1 }).await.unwrap();
    let mut bodies = Vec::new();
    for status in [None, Some("503 Service Unavailable"), Some("204 No Content")] {
        let (stream, _) = server.accept().await.unwrap();
        bodies.push(serve_one(stream, status).await);
    }
    assert!(bodies.iter().all(|b| *b == bodies[0]), "the same is said each time: {bodies:?}");
    cured.store(true, Ordering::SeqCst);
    replay_all(&running).await;
    let (stream, _) = server.accept().await.unwrap();
    bodies.push(serve_one(stream, Some("200 OK")).await);
    let read = |body: &String| serde_json::from_str::<AlertChange>(body).expect("it can be read");
    let (raised, cleared) = (read(&bodies[2]), read(&bodies[3]));
    assert_eq!((raised.event, cleared.event), (AlertEvent::Raised, AlertEvent::Cleared));
    assert_eq!((raised.alert.key, raised.alert.since), (cleared.alert.key, cleared.alert.since));
    running.shutdown().await.unwrap();
}
