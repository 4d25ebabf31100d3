//! A private Redis Cluster.

use super::process::patiently;
use super::redis::RedisServer;
use std::ops::Range;

/// Slots of a cluster.
const SLOTS: u16 = 16_384;
/// How many nodes have slots of their own; each has a replica.
const MASTERS: usize = 3;
/// Milliseconds after which the others take a node for dead.
const NODE_TIMEOUT: &str = "1000";

/// Three masters and a replica of each, private, on 127.0.0.1, gone with this value or with the process. Nodes go by their
/// number, 0 to 5; at the start 3 is the replica of 0, and so on.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    /// Their names in the cluster.
    ids: Vec<String>,
}

impl RedisCluster {
    /// Starts six nodes and makes a cluster of them. Each flushes a write before it answers; replicas follow later, so a
    /// failover may lose what was acknowledged.
    ///
    /// # Panics
    /// If Redis is not installed or does not start, or the nodes do not come together; the text says what to do.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with these settings in each node.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        let node = || {
            let usual = [
                ("cluster-node-timeout", NODE_TIMEOUT),
                // Replicas stand for election whatever they missed: a test wants the failover.
                ("cluster-replica-validity-factor", "0"),
                ("repl-diskless-sync-delay", "0"),
            ];
            let options = RedisServer::options().node();
            let with = usual.iter().chain(settings);
            with.fold(options, |options, (name, value)| options.setting(name, value)).start()
        };
        let nodes: Vec<_> = (0..2 * MASTERS).map(|_| node()).collect();
        let ids = nodes.iter().map(|node| node.cli(&["cluster", "myid"])).collect();
        let cluster = Self { nodes, ids };
        cluster.join();
        cluster
    }

    fn join(&self) {
        // Numbers of their own settle whose word counts, without a conflict to solve first.
        for (n, node) in self.nodes.iter().enumerate() {
            ok(&node.cli(&["cluster", "set-config-epoch", &(n + 1).to_string()]));
        }
        for node in &self.nodes[1..] {
            ok(&node.cli(&["cluster", "meet", "127.0.0.1", &self.nodes[0].port().to_string()]));
        }
        for master in 0..MASTERS {
            let slots: Vec<_> = Self::first_slots(master).map(|slot| slot.to_string()).collect();
            let words = ["cluster", "addslots"].into_iter().chain(slots.iter().map(String::as_str));
            ok(&self.nodes[master].cli(&words.collect::<Vec<_>>()));
        }
        for replica in MASTERS..2 * MASTERS {
            let master = self.ids[replica - MASTERS].as_str();
            patiently("a node hears of its master", || {
                self.nodes[replica].cli(&["cluster", "replicate", master]) == "OK"
            });
        }
        self.wait_ok();
        for replica in MASTERS..2 * MASTERS {
            self.wait_in_sync(replica);
        }
    }

    /// The slots that a master has at the start.
    fn first_slots(master: usize) -> Range<u16> {
        let at = |n: usize| u16::try_from(usize::from(SLOTS) * n / MASTERS).expect("below 16,384");
        at(master)..at(master + 1)
    }

    /// The URL of a node, from which a client finds the others.
    #[must_use]
    pub fn url(&self) -> String {
        let live = self.nodes.iter().find(|node| node.pid().is_some());
        live.expect("a node lives").url()
    }

    /// The nodes, by number.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The name of a node in the cluster.
    #[must_use]
    pub fn id(&self, node: usize) -> &str {
        &self.ids[node]
    }

    /// The slot of a key.
    ///
    /// # Panics
    /// If no node answers.
    #[must_use]
    pub fn key_slot(&self, key: &str) -> u16 {
        self.any().cli(&["cluster", "keyslot", key]).parse().expect("a slot is a number")
    }

    /// The master of a slot, as the living nodes see it.
    ///
    /// # Panics
    /// If nobody has the slot.
    #[must_use]
    pub fn master_of(&self, slot: u16) -> usize {
        self.find_master(slot).unwrap_or_else(|| panic!("nobody has slot {slot}"))
    }

    fn find_master(&self, slot: u16) -> Option<usize> {
        // Each knows best about itself.
        self.live().find(|&n| self.seen_by(n).iter().any(|seen| seen.myself && seen.has(slot)))
    }

    /// The replicas of a node, as it sees them itself.
    #[must_use]
    pub fn replicas_of(&self, node: usize) -> Vec<usize> {
        let seen = self.seen_by(node);
        let mine = seen.iter().filter(|seen| seen.master == self.ids[node]);
        mine.filter_map(|seen| self.ids.iter().position(|id| *id == seen.id)).collect()
    }

    /// Ends a node by SIGKILL. Its files stay.
    pub fn kill9(&self, node: usize) {
        self.nodes[node].kill9();
    }

    /// Starts a node on the files that it left.
    pub fn start_again(&self, node: usize) {
        self.nodes[node].start_again();
    }

    /// Waits until every living node says that the cluster serves every slot, and all agree about who has which.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn wait_ok(&self) {
        patiently("the cluster serves all slots", || {
            let said: Vec<_> = self.live().map(|n| self.nodes[n].cli(&["cluster", "info"])).collect();
            let serves = |info: &String| {
                info.contains("cluster_state:ok") && info.contains(&format!("cluster_slots_ok:{SLOTS}"))
            };
            said.iter().all(serves) && self.agree()
        });
    }

    fn agree(&self) -> bool {
        let views: Vec<_> = self.live().map(|n| self.seen_by(n)).collect();
        views.windows(2).all(|pair| owners(&pair[0]) == owners(&pair[1]))
    }

    /// Waits until this node is a replica that has everything its master has. One that comes back takes itself for the master that it
    /// was until it hears of the other.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn wait_in_sync(&self, replica: usize) {
        patiently("the replica has caught up", || {
            let info = self.nodes[replica].cli(&["info", "replication"]);
            info.contains("role:slave") && info.contains("master_link_status:up")
        });
    }

    /// Waits until somebody who lives has this slot, whose master was killed; answers who.
    ///
    /// # Panics
    /// If that takes too long.
    #[must_use]
    pub fn wait_failover(&self, slot: u16) -> usize {
        patiently("a replica takes over", || self.find_master(slot).is_some());
        self.wait_ok();
        self.master_of(slot)
    }

    /// Makes this replica the master of its slots in good order, and waits for it. Nothing is lost.
    ///
    /// # Panics
    /// If that takes too long, or it is no replica.
    pub fn promote(&self, replica: usize) {
        self.wait_in_sync(replica);
        patiently("the replica is the master", || {
            let info = self.nodes[replica].cli(&["info", "replication"]);
            if info.contains("role:master") {
                return true;
            }
            // A failover that another one overtook is given up without a word.
            let _ = self.nodes[replica].cli(&["cluster", "failover"]);
            false
        });
        self.wait_ok();
    }

    /// Gives a slot with all its keys to another master.
    ///
    /// # Panics
    /// If a step fails.
    pub fn migrate_slot(&self, slot: u16, from: usize, to: usize) {
        self.migrate_begin(slot, from, to);
        while self.migrate_keys(slot, from, to, 100) > 0 {}
        self.migrate_finish(slot, from, to);
    }

    /// Starts to move a slot: from now on `from` answers `ASK` for keys that it does not have.
    ///
    /// # Panics
    /// If a node refuses.
    pub fn migrate_begin(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        ok(&self.nodes[to].cli(&["cluster", "setslot", &slot, "importing", &self.ids[from]]));
        ok(&self.nodes[from].cli(&["cluster", "setslot", &slot, "migrating", &self.ids[to]]));
    }

    /// Moves at most this many keys of a slot; answers how many there were.
    ///
    /// # Panics
    /// If a node refuses.
    #[must_use]
    pub fn migrate_keys(&self, slot: u16, from: usize, to: usize, most: usize) -> usize {
        let (slot, most) = (slot.to_string(), most.to_string());
        let keys = self.nodes[from].cli(&["cluster", "getkeysinslot", &slot, &most]);
        let keys: Vec<_> = keys.lines().filter(|key| !key.is_empty()).collect();
        if !keys.is_empty() {
            let port = self.nodes[to].port().to_string();
            let mut words = vec!["migrate", "127.0.0.1", &port, "", "0", "10000", "keys"];
            words.extend(&keys);
            let said = self.nodes[from].cli(&words);
            assert!(said == "OK" || said == "NOKEY", "MIGRATE says {said}");
        }
        keys.len()
    }

    /// The slot has moved; waits until all know.
    ///
    /// # Panics
    /// If a node refuses.
    pub fn migrate_finish(&self, slot: u16, from: usize, to: usize) {
        let number = slot.to_string();
        // The new owner first: if it died in between, its number would be the higher one all the same.
        for node in [to, from] {
            ok(&self.nodes[node].cli(&["cluster", "setslot", &number, "node", &self.ids[to]]));
        }
        self.wait_ok();
        assert_eq!(self.master_of(slot), to);
    }

    fn any(&self) -> &RedisServer {
        &self.nodes[self.live().next().expect("a node lives")]
    }

    fn live(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|&n| self.nodes[n].pid().is_some())
    }

    fn seen_by(&self, node: usize) -> Vec<Seen> {
        self.nodes[node].cli(&["cluster", "nodes"]).lines().filter_map(Seen::parse).collect()
    }
}

/// A line of `CLUSTER NODES`.
#[derive(Debug)]
struct Seen {
    id: String,
    myself: bool,
    master: String,
    slots: Vec<Range<u16>>,
}

impl Seen {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let id = words.next()?.to_owned();
        let flags = words.nth(1)?;
        let master = words.next()?.to_owned();
        // Slots that are on the move stand in brackets, and with their owner without.
        let slots = words.skip(4).filter(|word| !word.starts_with('['));
        let range = |word: &str| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            Some(first.parse().ok()?..last.parse::<u16>().ok()? + 1)
        };
        let slots = slots.map(range).collect::<Option<_>>()?;
        Some(Self { id, myself: flags.split(',').any(|flag| flag == "myself"), master, slots })
    }

    fn has(&self, slot: u16) -> bool {
        self.slots.iter().any(|range| range.contains(&slot))
    }
}

/// Who has which slots, in their order.
fn owners(seen: &[Seen]) -> Vec<(u16, u16, &str)> {
    let each = seen.iter().flat_map(|s| s.slots.iter().map(|slots| (slots.start, slots.end, s.id.as_str())));
    let mut owners: Vec<_> = each.collect();
    owners.sort_unstable();
    owners
}

fn ok(answer: &str) {
    assert_eq!(answer, "OK", "a node refuses");
}
