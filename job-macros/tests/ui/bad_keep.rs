use job_core::JobResult;
use job_macros::job;

struct Opaque;

#[job(keep = "0s")]
async fn for_no_time() {}

#[job(keep = 7)]
async fn without_unit() {}

#[job(keep = "7d", result = "1h")]
async fn both() {}

#[job(result)]
async fn without_time() {}

#[job(result = "1h")]
async fn not_json() -> JobResult<Opaque> {
    Ok(Opaque)
}

fn main() {}
