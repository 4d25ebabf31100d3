//! Private servers: they come, they die as told, and they never outlive their test.
#![cfg(all(feature = "servers", unix))]

use job_conformance::servers::{PostgresServer, RedisCluster, RedisServer, patiently};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Set for the process that a test starts in order to kill it.
const VICTIM: &str = "STEADFAST_TEST_VICTIM";

/// Just enough of PostgreSQL's protocol to ask for one word.
fn ask(server: &PostgresServer, query: &str) -> String {
    let url = server.url();
    let address = url.split(['@', '/']).nth(3).expect("the URL has an address");
    let mut stream = TcpStream::connect(address).expect("the server takes connections");
    let mut hello = vec![0, 3, 0, 0];
    hello.extend(b"user\0postgres\0database\0postgres\0\0");
    send(&mut stream, &[], &hello);
    while receive(&mut stream).0 != b'Z' {}
    send(&mut stream, b"Q", format!("{query}\0").as_bytes());
    let mut answer = String::new();
    loop {
        match receive(&mut stream) {
            (b'Z', _) => return answer,
            // One column: two bytes of count and four of length come before it.
            (b'D', row) => answer = String::from_utf8_lossy(&row[6..]).into_owned(),
            (b'E', text) => panic!("{query}: {}", String::from_utf8_lossy(&text)),
            _ => {}
        }
    }
}

fn send(stream: &mut TcpStream, tag: &[u8], body: &[u8]) {
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    stream.write_all(&[tag, &length, body].concat()).expect("the server reads");
}

fn receive(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 5];
    stream.read_exact(&mut head).expect("the server answers");
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    let mut body = vec![0; length as usize - 4];
    stream.read_exact(&mut body).expect("the server answers");
    (head[0], body)
}

fn refuses(server: &PostgresServer) -> bool {
    let url = server.url();
    TcpStream::connect(url.split(['@', '/']).nth(3).expect("the URL has an address")).is_err()
}

/// A process that has ended and was not yet asked about does not count as alive.
fn alive(pid: u32) -> bool {
    let mut look = Command::new("sh");
    look.args(["-c", "ps -o stat= -p \"$1\" || kill -0 \"$1\"", "look", &pid.to_string()]);
    let output = look.stderr(Stdio::null()).output().expect("a shell runs");
    output.status.success() && !output.stdout.starts_with(b"Z")
}

fn gone(what: &str, pid: u32, dir: &Path) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while alive(pid) || dir.exists() {
        assert!(Instant::now() < deadline, "{what}: process {pid} or {} is left", dir.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_private_server_comes_and_goes() {
    let server = PostgresServer::options().max_connections(37).start();
    assert_eq!(ask(&server, "show fsync"), "on", "an acknowledged commit survives a power loss");
    assert_eq!(ask(&server, "show max_connections"), "37");
    let (pid, dir) = (server.pid().expect("it is ours"), server.dir().expect("it is ours").to_owned());
    assert!(alive(pid) && dir.exists());
    drop(server);
    assert!(!alive(pid), "a dropped server is gone at once");
    assert!(!dir.exists(), "and so is its directory");
}

#[test]
fn a_killed_server_starts_again_on_its_data() {
    let server = PostgresServer::options().fast().start();
    assert_eq!(ask(&server, "show fsync"), "off");
    let (url, first) = (server.url(), server.pid());
    ask(&server, "create table kept as values (42)");
    server.kill9();
    assert!(refuses(&server), "nobody answers after a kill");
    server.start_again();
    assert_ne!(server.pid(), first);
    assert_eq!(server.url(), url);
    assert_eq!(ask(&server, "table kept"), "42");
    server.stop();
    assert!(refuses(&server), "nobody answers after a stop");
    assert_eq!(server.pid(), None);
    server.start_again();
    assert_eq!(ask(&server, "table kept"), "42");
}

#[test]
fn two_servers_do_not_meet() {
    let (a, b) = (PostgresServer::options().fast().start(), PostgresServer::options().fast().start());
    ask(&a, "create table mine ()");
    assert_eq!(ask(&b, "select to_regclass('mine') is null"), "t");
    assert_eq!(a.url_of("other"), format!("{}/other", a.url().trim_end_matches("/postgres")));
    assert_ne!(a.fresh_url(), a.fresh_url());
    assert!(a.fresh_url().starts_with(&format!("{}?schema=t_", a.url())));
}

#[test]
fn a_killed_redis_starts_again_on_its_files() {
    let server = RedisServer::start();
    let (url, first) = (server.url(), server.pid());
    assert_eq!(server.cli(&["set", "kept", "42"]), "OK");
    server.kill9();
    server.try_cli(&["ping"]).expect_err("nobody answers after a kill");
    server.start_again();
    assert_ne!(server.pid(), first);
    assert_eq!(server.url(), url);
    assert_eq!(server.cli(&["get", "kept"]), "42", "an acknowledged write survives a crash");
    server.stop();
    server.try_cli(&["ping"]).expect_err("nobody answers after a stop");
    assert_eq!(server.pid(), None);
    server.start_again();
    assert_eq!(server.cli(&["get", "kept"]), "42");
    let (pid, dir) = (server.pid().expect("it is ours"), server.dir().expect("it is ours").to_owned());
    assert!(alive(pid) && server.socket().exists());
    drop(server);
    assert!(!alive(pid), "a dropped server is gone at once");
    assert!(!dir.exists(), "and so is its directory");
}

#[test]
fn two_redis_do_not_meet() {
    let a = RedisServer::options().fast().setting("maxmemory", "64mb").start();
    let b = RedisServer::options().setting("requirepass", "secret").start();
    assert_eq!(a.cli(&["set", "mine", "1"]), "OK");
    assert_eq!(b.cli(&["exists", "mine"]), "0", "and its password goes with its URL");
    assert_eq!(a.cli(&["config", "get", "maxmemory"]), "maxmemory\n67108864");
    assert_ne!(a.fresh_url(), a.fresh_url());
    assert!(a.fresh_url().starts_with(&format!("redis://127.0.0.1:{}?prefix=t_", a.port())));
    a.kill9();
    a.start_again();
    assert_eq!(a.cli(&["exists", "mine"]), "0", "a fast one keeps nothing");
}

#[test]
fn a_cluster_outlives_its_masters() {
    let cluster = RedisCluster::start();
    let slot = cluster.key_slot("kept");
    let first = cluster.master_of(slot);
    let set = |node: usize, value: &str| cluster.nodes()[node].cli(&["set", "kept", value]);
    let get = |node: usize| cluster.nodes()[node].cli(&["get", "kept"]);
    assert_eq!(set(first, "1"), "OK");
    assert_eq!(cluster.nodes()[first].cli(&["wait", "1", "10000"]), "1", "the replica has it");
    cluster.kill9(first);
    let second = cluster.wait_failover(slot);
    assert_ne!(second, first);
    assert_eq!(get(second), "1");
    cluster.start_again(first);
    cluster.wait_ok();
    // It learns of that from the others.
    patiently("the old master follows the new one", || cluster.replicas_of(second) == [first]);
    assert_eq!(set(second, "2"), "OK");
    cluster.promote(first);
    assert_eq!((cluster.master_of(slot), get(first)), (first, "2".into()), "in good order nothing is lost");
    let other = (0..6).find(|&n| !cluster.replicas_of(n).is_empty() && n != first).expect("three masters");
    cluster.migrate_begin(slot, first, other);
    assert_eq!(get(first), "2", "it has not moved yet");
    while cluster.migrate_keys(slot, first, other, 1) > 0 {}
    assert!(get(first).contains("ASK"), "{}", get(first));
    cluster.migrate_finish(slot, first, other);
    assert!(get(first).contains("MOVED"), "{}", get(first));
    assert_eq!(get(other), "2");
    cluster.migrate_slot(slot, other, first);
    assert_eq!(get(first), "2");
}

/// Started by the next test, and killed by it.
#[test]
#[ignore = "only as the victim of another test"]
fn victim() {
    let Ok(store) = std::env::var(VICTIM) else { return };
    let (postgres, redis);
    let (pid, dir) = if store == "redis" {
        redis = RedisServer::start();
        (redis.pid(), redis.dir())
    } else {
        postgres = PostgresServer::options().fast().start();
        (postgres.pid(), postgres.dir())
    };
    println!("\nserver {} {}", pid.expect("it is ours"), dir.expect("it is ours").display());
    loop {
        std::thread::park();
    }
}

fn kill_a_test_with(store: &str) {
    let mut test = Command::new(std::env::current_exe().expect("a test has a program"))
        .args(["victim", "--exact", "--ignored", "--nocapture"])
        .env(VICTIM, store)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a test can be started");
    let lines = BufReader::new(test.stdout.take().expect("its output is piped")).lines();
    let said = lines.map_while(Result::ok).find(|l| l.starts_with("server ")).expect("it starts a server");
    let mut words = said.split_whitespace().skip(1);
    let pid: u32 = words.next().expect("an id").parse().expect("a number");
    let dir = PathBuf::from(words.next().expect("a directory"));
    assert!(alive(pid) && dir.exists());
    test.kill().expect("it runs");
    test.wait().expect("it has ended");
    gone("after the test was killed", pid, &dir);
}

#[test]
fn a_killed_test_leaves_no_server() {
    kill_a_test_with("postgres");
}

#[test]
fn a_killed_test_leaves_no_redis() {
    kill_a_test_with("redis");
}
