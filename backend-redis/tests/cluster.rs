//! Queues over the nodes of a cluster: each in one slot, while slots move and masters die.

mod support;

use backend_redis::RedisBackend;
use job_conformance::servers::RedisCluster;
use job_core::{
    Backend, Cancelled, ErrorKind, JobState, LeaseId, ListFilter, NewJob, Operate, QueueName, Verdict,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;
use support::connect;
use support::store::Store;
use support::traffic::Traffic;
use support::work::{KIND, LONG, QUEUE, claim_from, drain, prefix_of, settle, until};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::block_in_place;

/// One cluster for all, one test at a time.
async fn cluster() -> MutexGuard<'static, Arc<RedisCluster>> {
    static CLUSTER: OnceLock<Mutex<Arc<RedisCluster>>> = OnceLock::new();
    let start = || Mutex::new(Arc::new(RedisCluster::start_with(&[("appendonly", "no")])));
    block_in_place(|| CLUSTER.get_or_init(start)).lock().await
}

fn fresh_url(cluster: &RedisCluster) -> String {
    format!("{}?prefix=t_{}", cluster.url(), LeaseId::random().as_uuid().simple())
}

/// The masters as they are now.
fn store(cluster: &RedisCluster, url: &str) -> Store {
    let live = cluster.nodes().iter().filter(|node| node.pid().is_some());
    let masters = live.filter(|node| node.cli(&["info", "replication"]).contains("role:master"));
    Store::over(&masters.map(|node| node.url()).collect::<Vec<_>>(), prefix_of(url))
}

fn queues() -> Vec<QueueName> {
    ["a", "b", "c", "d", "e", "f"].into_iter().map(|name| QueueName::new(name).expect("good")).collect()
}

fn slot_of(cluster: &RedisCluster, url: &str, queue: &QueueName) -> u16 {
    cluster.key_slot(&format!("{{{}:{queue}:0}}", prefix_of(url)))
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_on_many_nodes_and_each_on_one() {
    let cluster = cluster().await;
    let url = fresh_url(&cluster);
    let backend = connect(&url).await;
    let mut ids = BTreeMap::new();
    for queue in queues() {
        let new: Vec<_> = (0..3).map(|_| NewJob::new(KIND, queue.clone(), "{}")).collect();
        backend.enqueue(&new).await.expect("enqueue works");
        let held = claim_from(&backend, &queue, LeaseId::random(), 1, LONG).await.expect("claim works");
        assert_eq!(held[0].hold.job, new[0].id);
        ids.insert(queue, new.iter().map(|job| job.id).collect::<Vec<_>>());
    }
    // One batch for all.
    let mixed: Vec<_> = queues().into_iter().map(|queue| NewJob::new(KIND, queue, "{}")).collect();
    backend.enqueue(&mixed).await.expect("enqueue works");
    let mut slots: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    let mut nodes = BTreeSet::new();
    for (key, node) in store(&cluster, &url).keys() {
        if let Some((tag, _)) = key.split_once('}') {
            slots.entry(tag.to_owned()).or_default().insert(cluster.key_slot(&key));
            nodes.insert(node);
        }
    }
    assert_eq!(slots.len(), 6);
    assert!(slots.values().all(|slots| slots.len() == 1), "all keys of a queue together: {slots:?}");
    assert!(nodes.len() > 1, "queues on several nodes");

    let other = connect(&url).await;
    assert_eq!(other.queues().await.expect("queues works"), queues());
    for (queue, ids) in &ids {
        let record = other.get(ids[1]).await.expect("get works").expect("it is there");
        assert_eq!((&record.queue, record.state), (queue, JobState::Ready));
        assert_eq!(other.cancel(ids[0]).await.expect("cancel works"), Cancelled::Asked);
        assert_eq!(other.cancel(ids[1]).await.expect("cancel works"), Cancelled::Now);
        let page = other.list(&ListFilter::new(queue.clone(), JobState::Ready)).await.expect("list works");
        assert_eq!(page.jobs.len(), 2);
        assert_eq!(drain(&other, queue).await.len(), 2);
    }
    store(&cluster, &url).assert_sound();
}

/// A job's follow-ups may go to a queue on another node.
#[tokio::test(flavor = "multi_thread")]
async fn follow_ups_reach_other_nodes() {
    let cluster = cluster().await;
    let url = fresh_url(&cluster);
    let backend = connect(&url).await;
    backend.enqueue(&[NewJob::new(KIND, QUEUE.clone(), "{}")]).await.expect("enqueue works");
    let held = claim_from(&backend, &QUEUE, LeaseId::random(), 1, LONG).await.expect("claim works");
    let mut settlement = job_core::Settlement::new(held[0].hold, Verdict::Complete);
    settlement.follow_ups = queues().into_iter().map(|queue| NewJob::new(KIND, queue, "{}")).collect();
    backend.settle(&QUEUE, std::slice::from_ref(&settlement)).await.expect("settle works");
    for (queue, job) in queues().iter().zip(&settlement.follow_ups) {
        assert_eq!(drain(&backend, queue).await, [job.id]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_has_one_database() {
    let cluster = cluster().await;
    let error = RedisBackend::connect(&format!("{}/1", cluster.url())).await.expect_err("there is no other");
    assert_eq!(error.kind(), ErrorKind::Permanent, "{error}");
}

/// Moves the slot of a queue to the other masters and back, a few keys at a time.
fn mover(cluster: &Arc<RedisCluster>, slot: u16) -> JoinHandle<()> {
    let cluster = Arc::clone(cluster);
    std::thread::spawn(move || {
        let home = cluster.master_of(slot);
        let masters: BTreeSet<usize> = [0, 6_000, 16_000].map(|slot| cluster.master_of(slot)).into();
        let mut from = home;
        for to in masters.into_iter().filter(|master| *master != home).chain([home]) {
            cluster.migrate_begin(slot, from, to);
            // New keys come while the old ones leave.
            while cluster.migrate_keys(slot, from, to, 5) > 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            cluster.migrate_finish(slot, from, to);
            from = to;
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_works_on_while_its_slot_moves() {
    let cluster = cluster().await;
    let url = fresh_url(&cluster);
    let queues = &queues()[..2];
    let traffic = Traffic::new(connect(&url).await, queues, LONG);
    let moving = mover(&cluster, slot_of(&cluster, &url, &queues[0]));
    let mut rounds = 0;
    while rounds == 0 || !moving.is_finished() {
        traffic.run(30).await.assert_exact();
        rounds += 1;
    }
    block_in_place(|| moving.join()).expect("no panic");
    store(&cluster, &url).assert_sound();
}

/// What remains of jobs when masters are killed one after the other: of those that were acknowledged, how many were lost.
async fn lost_in_failovers(parameters: &str) -> usize {
    let cluster = cluster().await;
    let url = format!("{}{parameters}", fresh_url(&cluster));
    let queues = queues();
    // Leases end soon, for a claim that the replica has never heard of is not settled.
    let traffic = Traffic::new(connect(&url).await, &queues, Duration::from_secs(4));
    let killer = {
        let (cluster, slot) = (Arc::clone(&cluster), slot_of(&cluster, &url, &queues[0]));
        std::thread::spawn(move || {
            for _ in 0..2 {
                std::thread::sleep(Duration::from_millis(300));
                let master = cluster.master_of(slot);
                cluster.kill9(master);
                let successor = cluster.wait_failover(slot);
                assert_ne!(successor, master);
                // Whoever waits for a replica needs one.
                cluster.start_again(master);
                cluster.wait_in_sync(master);
                cluster.wait_ok();
            }
        })
    };
    let (mut lost, mut enqueued) = (0, 0);
    while enqueued == 0 || !killer.is_finished() {
        let seen = traffic.run(40).await;
        enqueued += seen.enqueued.len();
        lost += seen.enqueued.iter().filter(|id| !seen.completed.contains_key(id)).count();
    }
    block_in_place(|| killer.join()).expect("no panic");
    store(&cluster, &url).assert_sound();
    lost
}

/// Replication is asynchronous, so what was acknowledged may be lost; what is there is sound.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_master_leaves_a_sound_store() {
    let lost = lost_in_failovers("").await;
    println!("{lost} acknowledged jobs lost in two failovers");
}

/// With `wait=1` and one replica for each master, the one that takes over has everything that was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_has_is_not_lost_with_its_master() {
    assert_eq!(lost_in_failovers("&wait=1&wait_ms=500").await, 0);
}

/// A backend finds its way when the node that the URL names is gone.
#[tokio::test(flavor = "multi_thread")]
async fn any_node_of_the_url_will_do() {
    let cluster = cluster().await;
    let dead = "127.0.0.1:1";
    let live = cluster.url().replace("redis://", "");
    let prefix = LeaseId::random().as_uuid().simple().to_string();
    let backend = connect(&format!("redis://{dead},{live}?prefix=t_{prefix}")).await;
    backend.enqueue(&[NewJob::new(KIND, QUEUE.clone(), "{}")]).await.expect("enqueue works");
    // Wake-ups too: the listener tries one after the other.
    let other = connect(&format!("redis://{live}?prefix=t_{prefix}")).await;
    until("a wake-up", async || {
        let wait = tokio::time::timeout(Duration::from_millis(500), backend.wait(&QUEUE));
        let new = [NewJob::new(KIND, QUEUE.clone(), "{}")];
        let (woken, _) = tokio::join!(wait, other.enqueue(&new));
        woken.is_ok()
    })
    .await;
    let held = claim_from(&backend, &QUEUE, LeaseId::random(), 1, LONG).await.expect("claim works");
    settle(&backend, &held[0], Verdict::Complete).await.expect("settle works");
}
