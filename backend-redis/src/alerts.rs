//! What workers have raised.

use crate::backend::Inner;
use crate::error::unreadable;
use crate::keys::Tag;
use crate::record::ms;
use crate::reply;
use crate::script::{ALERTS, Call};
use job_core::{AlertReport, BackendError, RaisedAlert};

impl Inner {
    pub(crate) async fn report_alerts(&self, report: &AlertReport) -> Result<(), BackendError> {
        let mut call = self.alerts_call();
        let json = if report.alerts().is_empty() { String::new() } else { report.to_json() };
        call.cmd.arg(report.worker().to_string()).arg(ms(report.valid_for())).arg(json);
        self.link.run(call).await?;
        Ok(())
    }

    pub(crate) async fn alerts(&self) -> Result<Vec<RaisedAlert>, BackendError> {
        let answer = self.link.run(self.alerts_call()).await?;
        let reports: Option<Vec<_>> =
            reply::array(answer).and_then(|all| all.into_iter().map(reply::text).collect());
        let reports = reports.ok_or_else(|| unreadable("alerts"))?;
        Ok(reports.iter().flat_map(|json| AlertReport::read(json)).collect())
    }

    fn alerts_call(&self) -> Call {
        ALERTS.call(&Tag::of_alerts(&self.options.prefix), &[])
    }
}
