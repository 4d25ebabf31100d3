//! What stands in the server, read key by key, and what must be true of it.

use super::lines::{self, Lines};
use super::work::prefix_of;
use redis::{Client, Connection, Value};
use std::collections::{BTreeMap, HashMap, HashSet};

const HANDLE: usize = 19;

/// Every server that holds keys, by connections of our own.
pub(crate) struct Store {
    connections: Vec<Connection>,
    prefix: String,
}

/// The keys of one shard of a queue by what follows the tag.
type Shard = BTreeMap<String, (usize, String)>;

impl Store {
    /// The keys of a backend with this URL, which holds one server's address.
    pub(crate) fn of(url: &str) -> Self {
        let base = url.split('?').next().expect("something stands there");
        Self::over(&[base.to_owned()], prefix_of(url))
    }

    pub(crate) fn over(servers: &[String], prefix: &str) -> Self {
        let open = |url: &String| {
            let client = Client::open(url.as_str()).expect("the URL is good");
            client.get_connection().expect("connects")
        };
        Self { connections: servers.iter().map(open).collect(), prefix: prefix.to_owned() }
    }

    /// The answer of the first server.
    pub(crate) fn ask(&mut self, words: &[&[u8]]) -> Value {
        ask(&mut self.connections[0], words)
    }

    pub(crate) fn has(&mut self, key: &str) -> bool {
        self.ask(&[b"EXISTS", key.as_bytes()]) == Value::Int(1)
    }

    /// Every key of the prefix and the number of its server.
    pub(crate) fn keys(&mut self) -> Vec<(String, usize)> {
        let pattern = format!("*{}:*", self.prefix);
        let mut all = Vec::new();
        for (server, connection) in self.connections.iter_mut().enumerate() {
            let Value::Array(keys) = ask(connection, &[b"KEYS", pattern.as_bytes()]) else {
                panic!("KEYS answers a list")
            };
            all.extend(keys.into_iter().map(|k| (String::from_utf8_lossy(&bytes(k)).into_owned(), server)));
        }
        all.sort();
        all
    }

    /// Every key and all that it holds.
    pub(crate) fn dump(&mut self) -> BTreeMap<String, Value> {
        let keys = self.keys();
        keys.into_iter()
            .map(|(key, server)| {
                let value = ask(&mut self.connections[server], &[b"DUMP", key.as_bytes()]);
                (key, value)
            })
            .collect()
    }

    /// Panics with all that is wrong. Nobody may work on the store meanwhile.
    pub(crate) fn assert_sound(&mut self) {
        let problems = self.problems();
        assert!(problems.is_empty(), "the store is not sound:\n{}", problems.join("\n"));
    }

    pub(crate) fn problems(&mut self) -> Vec<String> {
        let mut shards: BTreeMap<String, Shard> = BTreeMap::new();
        for (key, server) in self.keys() {
            if let Some((tag, suffix)) = key.split_once('}') {
                shards.entry(tag.to_owned()).or_default().insert(suffix.to_owned(), (server, key.clone()));
            }
        }
        let mut problems = Vec::new();
        for (tag, shard) in shards {
            // Of a limit, which keeps its slots where a queue keeps its leases.
            if tag.contains(":limit:") {
                let [q, run] =
                    ["q", "run"].map(|name| shard.get(name).map(|k| self.hash(k)).unwrap_or_default());
                let ends = shard.get("x").map(|k| self.set(k)).unwrap_or_default();
                problems.extend(lines::problems_of_limit(&q, &run, &ends).map(|p| format!("{tag}}}: {p}")));
                continue;
            }
            let read = Read::new(self, &shard);
            problems.extend(read.problems().into_iter().map(|p| format!("{tag}}}: {p}")));
        }
        problems
    }

    fn hash(&mut self, (server, key): &(usize, String)) -> HashMap<Vec<u8>, Vec<u8>> {
        pairs(ask(&mut self.connections[*server], &[b"HGETALL", key.as_bytes()])).collect()
    }

    fn set(&mut self, (server, key): &(usize, String)) -> Vec<(Vec<u8>, i64)> {
        let words: [&[u8]; 5] = [b"ZRANGE", key.as_bytes(), b"0", b"-1", b"WITHSCORES"];
        let scored = pairs(ask(&mut self.connections[*server], &words));
        scored.map(|(member, score)| (member, number(&score))).collect()
    }

    fn lives_for_ever(&mut self, (server, key): &(usize, String)) -> bool {
        ask(&mut self.connections[*server], &[b"PTTL", key.as_bytes()]) == Value::Int(-1)
    }
}

fn ask(connection: &mut Connection, words: &[&[u8]]) -> Value {
    let mut cmd = redis::cmd(std::str::from_utf8(words[0]).expect("a command is text"));
    for word in &words[1..] {
        cmd.arg(*word);
    }
    cmd.query(connection).expect("the server answers")
}

fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::BulkString(bytes) => bytes,
        other => panic!("not bytes: {other:?}"),
    }
}

fn pairs(value: Value) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let Value::Array(items) = value else { panic!("not a list: {value:?}") };
    let mut items = items.into_iter().map(bytes);
    std::iter::from_fn(move || Some((items.next()?, items.next()?)))
}

pub(super) fn number(text: &[u8]) -> i64 {
    std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).expect("a number")
}

struct Lease {
    /// The jobs that it holds still.
    held: Vec<Vec<u8>>,
    counted: i64,
    lasts: bool,
}

/// One shard, read.
struct Read {
    q: HashMap<Vec<u8>, Vec<u8>>,
    jobs: HashMap<Vec<u8>, Vec<u8>>,
    /// By job: metas, errors, its field among the unique keys.
    about: BTreeMap<&'static str, HashMap<Vec<u8>, Vec<u8>>>,
    unique: HashMap<Vec<u8>, Vec<u8>>,
    kinds: HashMap<Vec<u8>, Vec<u8>>,
    running: HashMap<Vec<u8>, Vec<u8>>,
    expiring: HashSet<Vec<u8>>,
    claims: HashSet<Vec<u8>>,
    /// Name of the set, handle, score.
    waiting: Vec<(String, Vec<u8>, i64)>,
    leases: HashMap<Vec<u8>, Lease>,
    lines: Lines,
}

impl Read {
    fn new(store: &mut Store, shard: &Shard) -> Self {
        let mut hash = |name: &str| shard.get(name).map(|k| store.hash(k)).unwrap_or_default();
        let about = ["m", "e", "v"].map(|name| (name, hash(name))).into();
        let [q, jobs, unique, kinds, running] = ["q", "j", "u", "kinds", "run"].map(&mut hash);
        let [letters, states] = ["lk", "ls"].map(hash);
        let members = |name: &str| -> HashSet<_> {
            let set = shard.get(name).map(|k| store.set(k)).unwrap_or_default();
            set.into_iter().map(|(member, _)| member).collect()
        };
        let [expiring, claims, in_line, turns] = ["x", "xi", "lw", "lo"].map(members);
        let lines = Lines { letters, states, in_line, turns };
        let mut waiting = Vec::new();
        let mut leases = HashMap::new();
        for (name, key) in shard {
            if name.starts_with("r:") || ["ws", "wr", "d"].contains(&name.as_str()) {
                waiting.extend(store.set(key).into_iter().map(|(handle, at)| (name.clone(), handle, at)));
            } else if let Some(id) = name.strip_prefix("l:") {
                let lease = lease(&store.hash(key), store.lives_for_ever(key));
                leases.insert(uuid::Uuid::parse_str(id).expect("an id").as_bytes().to_vec(), lease);
            }
        }
        Self { q, jobs, about, unique, kinds, running, expiring, claims, waiting, leases, lines }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        self.places(&mut problems);
        self.handles(&mut problems);
        self.holders(&mut problems);
        self.companions(&mut problems);
        problems.extend(self.lines.problems(&self.jobs, &self.running, &self.waiting));
        problems
    }

    /// Every job is in one place, and nothing else is anywhere.
    fn places(&self, problems: &mut Vec<String>) {
        let mut places: HashMap<&[u8], Vec<&str>> = HashMap::new();
        for (set, handle, _) in &self.waiting {
            places.entry(&handle[..16]).or_default().push(set);
        }
        for id in self.running.keys() {
            places.entry(id).or_default().push("run");
        }
        for id in self.jobs.keys() {
            match places.remove(id.as_slice()).as_deref() {
                Some([_]) => {}
                Some(several) => problems.push(format!("job {} is in {several:?}", hex(id))),
                None => problems.push(format!("job {} is nowhere", hex(id))),
            }
        }
        problems.extend(places.iter().map(|(id, where_)| format!("{where_:?} has {}, no job", hex(id))));
    }

    /// Handles agree with the jobs and lanes; no number was given twice.
    fn handles(&self, problems: &mut Vec<String>) {
        let mut scores = HashSet::new();
        let seq = self.q.get(b"seq".as_slice()).map_or(0, |s| number(s));
        for (set, handle, score) in &self.waiting {
            let job = self.jobs.get(&handle[..16]);
            if handle.len() != HANDLE || job.is_some_and(|job| job[13..16] != handle[16..]) {
                problems.push(format!("{set} has the handle {}, which is not its job's", hex(handle)));
            }
            let Some(kind) = set.strip_prefix("r:") else { continue };
            let mine = i64::from(handle[16]) * 256 + i64::from(handle[17]);
            if self.kinds.get(kind.as_bytes()).map(|n| number(n)) != Some(mine) {
                problems.push(format!("lane {set} has {}, of kind {mine}", hex(handle)));
            }
            if !scores.insert(*score) || score % (1 << 45) > seq {
                problems.push(format!("lane {set} has a number twice, or not drawn: {score}, seq {seq}"));
            }
        }
    }

    /// Leases and running jobs name each other.
    fn holders(&self, problems: &mut Vec<String>) {
        if self.expiring != self.claims {
            problems.push("x and xi have other leases".to_owned());
        }
        for (id, lease) in &self.leases {
            let live = self.expiring.contains(id);
            let held = i64::try_from(lease.held.len()).expect("few");
            if lease.counted != held || live != (held > 0) || live != lease.lasts {
                problems.push(format!(
                    "lease {} holds {held}, says {}, live: {live}, kept for ever: {}",
                    hex(id),
                    lease.counted,
                    lease.lasts
                ));
            }
            for job in lease.held.iter().filter(|job| self.running.get(*job) != Some(id)) {
                problems.push(format!("lease {} holds {}, which does not run", hex(id), hex(job)));
            }
        }
        problems.extend(
            self.expiring
                .iter()
                .filter(|id| !self.leases.contains_key(*id))
                .map(|id| format!("x has {}", hex(id))),
        );
        for (job, id) in &self.running {
            if !self.leases.get(id).is_some_and(|lease| lease.held.contains(job)) {
                problems.push(format!("job {} runs under {}, which does not hold it", hex(job), hex(id)));
            }
        }
    }

    /// What is kept beside jobs is of jobs that are there; a unique key is held by one that has not ended.
    fn companions(&self, problems: &mut Vec<String>) {
        for (name, of) in &self.about {
            let strays = of.keys().filter(|id| !self.jobs.contains_key(*id));
            problems.extend(strays.map(|id| format!("{name} has {}, no job", hex(id))));
        }
        let dead: HashSet<_> = self.waiting.iter().filter(|w| w.0 == "d").map(|w| &w.1[..16]).collect();
        for (field, holder) in &self.unique {
            // Under `n` and the key is who waits for its holder to end, and since when.
            let field = field.strip_prefix(b"n").map_or_else(|| field.clone(), <[u8]>::to_vec);
            let id = &holder[..16];
            if self.about["v"].get(id) != Some(&field) || dead.contains(id) {
                problems.push(format!("a unique key is held by {}, which does not have it", hex(id)));
            }
        }
        for (id, field) in &self.about["v"] {
            let next = self.unique.get(&[b"n".as_slice(), field].concat());
            let waits = next.is_some_and(|next| next.starts_with(id));
            if !dead.contains(id.as_slice()) && self.unique.get(field) != Some(id) && !waits {
                problems.push(format!("job {} has lost its unique key", hex(id)));
            }
        }
    }
}

fn lease(fields: &HashMap<Vec<u8>, Vec<u8>>, lasts: bool) -> Lease {
    let field = |name: &[u8]| fields.get(name).map(Vec::as_slice).unwrap_or_default();
    let handles = field(b"h").chunks(HANDLE).map(|h| h[..16].to_vec());
    let held = handles.zip(field(b"f")).filter(|(_, fate)| b"hc".contains(fate)).map(|(id, _)| id);
    Lease { held: held.collect(), counted: number(field(b"n")), lasts }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
