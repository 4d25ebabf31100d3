//! Administration of a broken store.

use super::{Broken, Defect};
use async_trait::async_trait;
use job_core::{
    AlertReport, Amendment, BackendError, BatchId, BatchRecord, Cancelled, Gauges, JobId, JobRecord, Kind,
    LimitName, LimitRecord, LimitRule, LineRecord, ListFilter, Operate, OperationEntry, OperationNote, Page,
    QueueName, QueueStats, RaisedAlert, ScheduleChange, ScheduleName,
};

#[async_trait]
impl Operate for Broken {
    async fn get(&self, id: JobId) -> Result<Option<JobRecord>, BackendError> {
        self.inner.get(id).await
    }
    async fn list(&self, filter: &ListFilter) -> Result<Page, BackendError> {
        self.inner.list(filter).await
    }
    async fn replay(&self, ids: &[JobId]) -> Result<Vec<bool>, BackendError> {
        self.inner.replay(ids).await
    }
    async fn amend(&self, id: JobId, amendment: &Amendment) -> Result<bool, BackendError> {
        self.inner.amend(id, amendment).await
    }
    async fn run_now(&self, id: JobId) -> Result<bool, BackendError> {
        self.inner.run_now(id).await
    }
    async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>, BackendError> {
        self.inner.batch(id).await
    }
    async fn discard(&self, ids: &[JobId]) -> Result<Vec<bool>, BackendError> {
        let discarded = self.inner.discard(ids).await?;
        let mut seen = self.seen();
        for (id, _) in ids.iter().zip(&discarded).filter(|(_, discarded)| **discarded) {
            if let Some(unique) = seen.unique.get(id).cloned() {
                *seen.generations.entry((unique.scope, unique.key.as_str().to_owned())).or_default() += 1;
            }
        }
        Ok(discarded)
    }
    async fn cancel(&self, id: JobId) -> Result<Cancelled, BackendError> {
        self.inner.cancel(id).await
    }
    async fn pause(&self, queue: &QueueName) -> Result<(), BackendError> {
        if self.is(Defect::IgnoresPause) { Ok(()) } else { self.inner.pause(queue).await }
    }
    async fn resume(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.inner.resume(queue).await
    }
    async fn set_kind_paused(
        &self,
        queue: &QueueName,
        kind: &Kind,
        paused: bool,
    ) -> Result<(), BackendError> {
        if self.is(Defect::IgnoresKindPause) {
            Ok(())
        } else {
            self.inner.set_kind_paused(queue, kind, paused).await
        }
    }
    async fn change_schedule(
        &self,
        queue: &QueueName,
        name: &ScheduleName,
        change: ScheduleChange,
    ) -> Result<bool, BackendError> {
        self.inner.change_schedule(queue, name, change).await
    }
    async fn note_operation(&self, queue: &QueueName, note: &OperationNote) -> Result<(), BackendError> {
        self.inner.note_operation(queue, note).await
    }
    async fn operations(&self, queue: &QueueName, limit: u32) -> Result<Vec<OperationEntry>, BackendError> {
        self.inner.operations(queue, limit).await
    }
    async fn set_limit(&self, limit: &LimitName, rule: Option<LimitRule>) -> Result<(), BackendError> {
        self.inner.set_limit(limit, rule).await
    }
    async fn open_limit(&self, limit: &LimitName) -> Result<(), BackendError> {
        self.inner.open_limit(limit).await
    }
    async fn limits(&self) -> Result<Vec<LimitRecord>, BackendError> {
        self.inner.limits().await
    }
    async fn set_weight(
        &self,
        queue: &QueueName,
        kind: &Kind,
        key: &str,
        weight: u32,
    ) -> Result<(), BackendError> {
        self.inner.set_weight(queue, kind, key, weight).await
    }
    async fn lines(
        &self,
        queue: &QueueName,
        after: Option<(&Kind, &str)>,
        limit: u32,
    ) -> Result<Vec<LineRecord>, BackendError> {
        self.inner.lines(queue, after, limit).await
    }
    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, BackendError> {
        self.inner.stats(queue).await
    }
    async fn gauges(&self, queue: &QueueName, count_to: u32) -> Result<Gauges, BackendError> {
        self.inner.gauges(queue, count_to).await
    }
    async fn queues(&self) -> Result<Vec<QueueName>, BackendError> {
        self.inner.queues().await
    }
    async fn report_alerts(&self, report: &AlertReport) -> Result<(), BackendError> {
        self.inner.report_alerts(report).await
    }
    async fn alerts(&self) -> Result<Vec<RaisedAlert>, BackendError> {
        self.inner.alerts().await
    }
}
