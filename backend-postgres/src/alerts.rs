//! What workers have raised.

use crate::call::Reply;
use crate::enqueue::micros;
use crate::schema::Statements;
use job_core::AlertReport;
use sqlx::PgConnection;
use uuid::Uuid;

/// A report as columns.
pub(crate) struct Report {
    worker: Uuid,
    valid_us: i64,
    alerts: Option<String>,
}

impl Report {
    pub(crate) fn new(report: &AlertReport) -> Self {
        let alerts = (!report.alerts().is_empty()).then(|| report.to_json());
        Self { worker: report.worker().as_uuid(), valid_us: micros(report.valid_for()), alerts }
    }
}

pub(crate) fn report_alerts<'c>(
    report: &'c Report,
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, ()> {
    Box::pin(async move {
        let query = sqlx::query(statements.report_alerts.clone()).bind(report.worker).bind(report.valid_us);
        query.bind(&report.alerts).execute(connection).await?;
        Ok(())
    })
}

pub(crate) fn alerts<'c>(
    _: &'c (),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, Vec<String>> {
    Box::pin(sqlx::query_scalar(statements.alerts.clone()).fetch_all(connection))
}
