#![allow(unused)]
use job_macros::job;

#[job(idempotency = "invoce_id")]
async fn field(invoice_id: u64, locale: Option<String>) {}
#[job(unique = "{tenant}:{invoice_id}")]
async fn text(tenant_id: u64, invoice_id: u64) {}
#[job(unique = (tenant_id, invoice))]
async fn tuple(tenant_id: u64, invoice_id: u64) {}
#[job(idempotency = "id")]
async fn none() {}

fn main() {}
