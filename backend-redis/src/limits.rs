//! Limits and lines.

use crate::backend::Inner;
use job_core::{
    BackendError, Declared, Effect, ErrorKind, Kind, LimitName, LimitRecord, LimitRule, LineRecord, QueueName,
};
use std::time::Duration;

fn not_yet(call: &'static str) -> BackendError {
    BackendError::new("redis", call, ErrorKind::Permanent, Effect::NotApplied, "limits are not supported yet")
}

impl Inner {
    pub(crate) async fn declare(&self, _: &QueueName, _: &Declared) -> Result<(), BackendError> {
        Ok(())
    }

    pub(crate) async fn close_limit(&self, _: &LimitName, _: Duration) -> Result<(), BackendError> {
        Err(not_yet("close limit"))
    }

    pub(crate) async fn set_limit(&self, _: &LimitName, _: Option<LimitRule>) -> Result<(), BackendError> {
        Err(not_yet("set limit"))
    }

    pub(crate) async fn open_limit(&self, _: &LimitName) -> Result<(), BackendError> {
        Err(not_yet("open limit"))
    }

    pub(crate) async fn limits(&self) -> Result<Vec<LimitRecord>, BackendError> {
        Ok(Vec::new())
    }

    pub(crate) async fn set_weight(
        &self,
        _: &QueueName,
        _: &Kind,
        _: &str,
        _: u32,
    ) -> Result<(), BackendError> {
        Err(not_yet("set weight"))
    }

    pub(crate) async fn lines(
        &self,
        _: &QueueName,
        _: Option<(&Kind, &str)>,
        _: u32,
    ) -> Result<Vec<LineRecord>, BackendError> {
        Ok(Vec::new())
    }
}
