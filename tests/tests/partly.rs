//! A call of the PostgreSQL backend that takes several statements fails after the first: its outcome is unknown, and not
//! "not applied".

use backend_postgres::PostgresBackend;
use job_conformance::servers::PostgresServer;
use job_core::faults::{Faults, Injected, install};
use job_core::{
    Backend, ClaimRequest, Effect, Kind, LeaseId, NewJob, QueueName, Settled, Settlement, Verdict, WorkerId,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static QUEUE: QueueName = QueueName::from_static("q");
const KIND: Kind = Kind::from_static("k");
static KINDS: [Kind; 1] = [KIND];

/// Fails the look for payloads that were too large to come with a claim, once it is armed.
#[derive(Default)]
struct SecondStep(AtomicBool);

impl Faults for SecondStep {
    fn reached(&self, _scope: &str, point: &str) -> Injected {
        let fails = point == "postgres.claim.before_send" && self.0.swap(false, Ordering::SeqCst);
        if fails { Injected::Fail } else { Injected::Nothing }
    }
}

fn request(lease: LeaseId) -> ClaimRequest<'static> {
    ClaimRequest {
        lease,
        worker: WorkerId::random(),
        kinds: &KINDS,
        limit: 1,
        lease_for: Duration::from_secs(60),
        suspect_leases: &[],
        solo: false,
        ahead: &[],
    }
}

#[tokio::test]
async fn what_was_applied_in_part_is_not_called_not_applied() {
    let faults = Arc::new(SecondStep::default());
    install(faults.clone());
    let backend = PostgresBackend::connect(&PostgresServer::shared().fresh_url()).await.expect("connects");
    let jobs =
        [NewJob::new(KIND, QUEUE.clone(), "{}"), NewJob::new(KIND, QUEUE.clone(), vec![b' '; 100 * 1024])];
    backend.enqueue(&jobs).await.expect("enqueue works");
    let first = backend.claim(&QUEUE, &request(LeaseId::random())).await.expect("claim works").jobs.remove(0);
    let settlement = [Settlement::new(first.hold, Verdict::Complete)];
    let again = request(LeaseId::random());
    faults.0.store(true, Ordering::SeqCst);
    let error =
        backend.settle_and_claim(&QUEUE, &settlement, &again).await.expect_err("the second step fails");
    assert!(!faults.0.load(Ordering::SeqCst), "there was a second step");
    assert_eq!(error.effect(), Effect::Unknown, "{error}");
    let (settled, claim) = backend.settle_and_claim(&QUEUE, &settlement, &again).await.expect("it works now");
    assert_eq!(settled, [Settled::AlreadyApplied]);
    let claimed: Vec<_> = claim.jobs.iter().map(|j| j.hold.job).collect();
    assert_eq!(claimed, [jobs[1].id], "the claim that was granted then");
}
