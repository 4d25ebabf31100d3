//! The web service: `POST /import` takes a CSV, `GET /status` counts.

use crate::Office;
use crate::invoice::{Rejected, parse};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use std::sync::Arc;

/// The largest file.
const BYTES_MAX: usize = 16 * 1024 * 1024;

type Failure = (StatusCode, String);

/// What became of a file.
#[derive(Debug, Serialize)]
pub(crate) struct Imported {
    /// Invoices that were new, each with a job now.
    pub(crate) new: usize,
    /// Invoices that were there already.
    pub(crate) known: usize,
    /// Rows that are no invoices.
    pub(crate) rejected: Vec<Rejected>,
}

#[derive(Debug, Serialize)]
struct Status {
    invoices: usize,
    files: usize,
    mails: usize,
    jobs: Jobs,
}

#[derive(Debug, Serialize)]
struct Jobs {
    ready: u64,
    running: u64,
    scheduled: u64,
    retrying: u64,
    dead: u64,
}

pub(crate) fn router(office: Arc<Office>) -> Router {
    Router::new()
        .route("/import", post(import))
        .route("/status", get(status))
        .layer(DefaultBodyLimit::max(BYTES_MAX))
        .with_state(office)
}

async fn import(State(office): State<Arc<Office>>, file: Bytes) -> Result<Json<Imported>, Failure> {
    let parsed = parse(&file).map_err(|e| (StatusCode::UNPROCESSABLE_ENTITY, format!("{e:#}\n")))?;
    // On a task of its own: a client that hangs up would drop this handler in the middle of a transaction.
    let task = tokio::spawn(async move { office.import(parsed).await });
    let imported = task.await.map_err(internal)?.map_err(internal)?;
    Ok(Json(imported))
}

async fn status(State(office): State<Arc<Office>>) -> Result<Json<Status>, Failure> {
    let jobs = office.store.jobs().await.map_err(internal)?;
    Ok(Json(Status {
        invoices: office.store.count().await.map_err(internal)?,
        files: office.folder.count().map_err(internal)?,
        mails: *office.mails.borrow(),
        jobs: Jobs {
            ready: jobs.ready,
            running: jobs.running,
            scheduled: jobs.scheduled,
            retrying: jobs.retrying,
            dead: jobs.dead,
        },
    }))
}

fn internal(error: impl std::fmt::Display) -> Failure {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n"))
}
