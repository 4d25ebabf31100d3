//! The server's disk runs full: nothing that was acknowledged is lost, and work goes on when there is room again.
//!
//! Only root can make a small disk, so this test does nothing for others, and says so.
#![cfg(target_os = "linux")]

use backend_postgres::PostgresBackend;
use job_conformance::servers::PostgresServer;
use job_core::{Backend, ClaimRequest, JobId, Kind, LeaseId, NewJob, QueueName, WorkerId};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

static QUEUE: QueueName = QueueName::from_static("q");
const KIND: Kind = Kind::from_static("k");

/// A disk of 160 MiB, gone with this value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` for those who may not make one.
    fn make() -> Option<Self> {
        let path = PathBuf::from(format!("/tmp/steadfast-disk-{}", &LeaseId::random().to_string()[24..]));
        fs::create_dir(&path).expect("a new directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=160m,mode=0755", "tmpfs"]).arg(&path);
        let made = mount.output().is_ok_and(|o| o.status.success());
        if !made {
            fs::remove_dir(&path).expect("it is empty");
        }
        made.then_some(Self(path))
    }

    /// Takes all the room there is but for a little; returns what has to be removed to give it back.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = fs::File::create(&path).expect("a new file");
        let block = vec![1; 64 * 1024];
        while file.write_all(&block).is_ok() {}
        let size = file.metadata().expect("it is there").len();
        file.set_len(size - 12 * 1024 * 1024).expect("a file may shrink");
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server may be about to end.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

async fn claim_all(backend: &PostgresBackend) -> Vec<JobId> {
    let mut all = Vec::new();
    loop {
        let request = ClaimRequest {
            lease: LeaseId::random(),
            worker: WorkerId::random(),
            kinds: &[KIND],
            limit: 1_000,
            lease_for: Duration::from_secs(600),
            suspect_leases: &[],
            solo: false,
            ahead: &[],
        };
        let claim = backend.claim(&QUEUE, &request).await.expect("claims work again");
        if claim.jobs.is_empty() {
            return all;
        }
        all.extend(claim.jobs.iter().map(|j| j.hold.job));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing() {
    let Some(disk) = SmallDisk::make() else {
        eprintln!("not tested: only root can make a small disk");
        return;
    };
    let options = PostgresServer::options().within(&disk.0);
    let options = options.setting("max_wal_size", "32MB").setting("min_wal_size", "32MB");
    let server = tokio::task::block_in_place(|| options.start());
    let backend = PostgresBackend::connect(&server.fresh_url()).await.expect("connects");
    let filler = disk.fill();
    let (mut acknowledged, mut unknown) = (Vec::new(), Vec::new());
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut refused = 0;
    while refused < 3 {
        assert!(Instant::now() < deadline, "the disk does not run full, {} jobs", acknowledged.len());
        // Random, for the server compresses.
        let bytes: Vec<u8> = (0..2_000).flat_map(|_| *LeaseId::random().as_uuid().as_bytes()).collect();
        let jobs: Vec<NewJob> = (0..20).map(|_| NewJob::new(KIND, QUEUE.clone(), bytes.clone())).collect();
        match backend.enqueue(&jobs).await {
            Ok(answers) => acknowledged.extend(answers.iter().map(|a| a.id)),
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                unknown.extend(jobs.iter().map(|j| j.id));
                refused += 1;
            }
        }
    }
    fs::remove_file(filler).expect("the filler is there");
    // The server ends itself when it cannot write its log.
    tokio::task::block_in_place(|| {
        server.kill9();
        server.start_again();
    });
    let mut again = backend.enqueue(&[NewJob::new(KIND, QUEUE.clone(), "{}")]).await;
    while again.is_err() {
        assert!(Instant::now() < deadline + Duration::from_secs(60), "{again:?}");
        again = backend.enqueue(&[NewJob::new(KIND, QUEUE.clone(), "{}")]).await;
    }
    let found = claim_all(&backend).await;
    assert!(!acknowledged.is_empty(), "nothing was acknowledged, so nothing is shown");
    let lost: Vec<_> = acknowledged.iter().filter(|id| !found.contains(id)).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), acknowledged.len());
    let at_most = acknowledged.len() + unknown.len() + 8;
    assert!(found.len() <= at_most, "{} jobs from {at_most}", found.len());
}
