//! For backends around backends.

#[doc(hidden)]
pub use async_trait::async_trait;

/// Administration that is passed on as it is: `forward_operate!(Wrapper, inner)` implements `job_core::Operate` for
/// `Wrapper`, whose field `inner` has it.
#[macro_export]
macro_rules! forward_operate {
    ($wrapper:ty, $($field:ident).+) => {
        #[$crate::forward::async_trait]
        impl ::job_core::Operate for $wrapper {
            async fn get(&self, id: ::job_core::JobId) -> Result<Option<::job_core::JobRecord>, ::job_core::BackendError> {
                self.$($field).+.get(id).await
            }
            async fn list(&self, filter: &::job_core::ListFilter) -> Result<::job_core::Page, ::job_core::BackendError> {
                self.$($field).+.list(filter).await
            }
            async fn replay(&self, ids: &[::job_core::JobId]) -> Result<Vec<bool>, ::job_core::BackendError> {
                self.$($field).+.replay(ids).await
            }
            async fn amend(&self, id: ::job_core::JobId, amendment: &::job_core::Amendment) -> Result<bool, ::job_core::BackendError> {
                self.$($field).+.amend(id, amendment).await
            }
            async fn run_now(&self, id: ::job_core::JobId) -> Result<bool, ::job_core::BackendError> {
                self.$($field).+.run_now(id).await
            }
            async fn batch(&self, id: ::job_core::BatchId) -> Result<Option<::job_core::BatchRecord>, ::job_core::BackendError> {
                self.$($field).+.batch(id).await
            }
            async fn discard(&self, ids: &[::job_core::JobId]) -> Result<Vec<bool>, ::job_core::BackendError> {
                self.$($field).+.discard(ids).await
            }
            async fn cancel(&self, id: ::job_core::JobId) -> Result<::job_core::Cancelled, ::job_core::BackendError> {
                self.$($field).+.cancel(id).await
            }
            async fn pause(&self, queue: &::job_core::QueueName) -> Result<(), ::job_core::BackendError> {
                self.$($field).+.pause(queue).await
            }
            async fn resume(&self, queue: &::job_core::QueueName) -> Result<(), ::job_core::BackendError> {
                self.$($field).+.resume(queue).await
            }
            async fn set_kind_paused(&self, queue: &::job_core::QueueName, kind: &::job_core::Kind, paused: bool) -> Result<(), ::job_core::BackendError> {
                self.$($field).+.set_kind_paused(queue, kind, paused).await
            }
            async fn set_limit(&self, limit: &::job_core::LimitName, rule: Option<::job_core::LimitRule>) -> Result<(), ::job_core::BackendError> {
                self.$($field).+.set_limit(limit, rule).await
            }
            async fn open_limit(&self, limit: &::job_core::LimitName) -> Result<(), ::job_core::BackendError> {
                self.$($field).+.open_limit(limit).await
            }
            async fn limits(&self) -> Result<Vec<::job_core::LimitRecord>, ::job_core::BackendError> {
                self.$($field).+.limits().await
            }
            async fn set_weight(
                &self,
                queue: &::job_core::QueueName,
                kind: &::job_core::Kind,
                key: &str,
                weight: u32,
            ) -> Result<(), ::job_core::BackendError> {
                self.$($field).+.set_weight(queue, kind, key, weight).await
            }
            async fn lines(
                &self,
                queue: &::job_core::QueueName,
                after: Option<(&::job_core::Kind, &str)>,
                limit: u32,
            ) -> Result<Vec<::job_core::LineRecord>, ::job_core::BackendError> {
                self.$($field).+.lines(queue, after, limit).await
            }
            async fn change_schedule(
                &self,
                queue: &::job_core::QueueName,
                name: &::job_core::ScheduleName,
                change: ::job_core::ScheduleChange,
            ) -> Result<bool, ::job_core::BackendError> {
                self.$($field).+.change_schedule(queue, name, change).await
            }
            async fn note_operation(
                &self,
                queue: &::job_core::QueueName,
                note: &::job_core::OperationNote,
            ) -> Result<(), ::job_core::BackendError> {
                self.$($field).+.note_operation(queue, note).await
            }
            async fn operations(
                &self,
                queue: &::job_core::QueueName,
                limit: u32,
            ) -> Result<Vec<::job_core::OperationEntry>, ::job_core::BackendError> {
                self.$($field).+.operations(queue, limit).await
            }
            async fn stats(&self, queue: &::job_core::QueueName) -> Result<::job_core::QueueStats, ::job_core::BackendError> {
                self.$($field).+.stats(queue).await
            }
            async fn gauges(&self, queue: &::job_core::QueueName, count_to: u32) -> Result<::job_core::Gauges, ::job_core::BackendError> {
                self.$($field).+.gauges(queue, count_to).await
            }
            async fn queues(&self) -> Result<Vec<::job_core::QueueName>, ::job_core::BackendError> {
                self.$($field).+.queues().await
            }
            async fn report_alerts(&self, report: &::job_core::AlertReport) -> Result<(), ::job_core::BackendError> {
                self.$($field).+.report_alerts(report).await
            }
            async fn alerts(&self) -> Result<Vec<::job_core::RaisedAlert>, ::job_core::BackendError> {
                self.$($field).+.alerts().await
            }
        }
    };
}
