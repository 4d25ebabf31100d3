//! A library that denies what libraries deny.
#![deny(warnings, missing_docs, unreachable_pub, missing_debug_implementations, unused_qualifications)]
#![deny(clippy::needless_pass_by_value)]
#![forbid(unsafe_code)]
use job_core::State;

/// Mail.
pub mod mail {
    use super::State;

    /// Sends mail.
    #[derive(Debug)]
    pub struct Mailer;

    #[allow(missing_docs)]
    #[job_macros::job(idempotency = (id, note), unique = args, priority = high, backoff = ["1s"])]
    pub async fn undocumented_job(
        id: u64,
        note: Option<String>,
        #[serde(default)] copies: u8,
        State(mailer): State<Mailer>,
    ) {
        let _ = (id, note, copies, mailer);
    }

    #[expect(clippy::too_many_arguments, reason = "the generated constructor must not be refused as well")]
    #[job_macros::job(blocking)]
    pub(crate) fn inside(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8) {
        let _ = [a, b, c, d, e, f, g, h];
    }

    #[job_macros::job(blocking)]
    pub(crate) fn only_read(name: String, ctx: job_core::JobContext) {
        let _ = (name.len(), ctx.attempt());
    }
}

#[job_macros::job]
#[cfg(any())]
async fn not_compiled(missing: Missing) {}

fn main() {
    let _ = job_core::jobs![mail::undocumented_job, mail::inside, mail::only_read];
}
