// #[job(cron("0 3 * * *", tz = "Europe/Berlin", overlap = skip, missed = all(10), jitter = "30s"), cron = "@hourly")]
async fn digest() {}
/// The arguments of the job `digest`.
#[derive(
    Debug,
    Clone,
    ::steadfast::__private::serde::Serialize,
    ::steadfast::__private::serde::Deserialize
)]
#[serde(crate = "::steadfast::__private::serde")]
#[allow(dead_code)]
struct Digest {}
#[allow(dead_code)]
impl Digest {
    /// The job with its required arguments; optional ones have setters.
    #[must_use]
    #[allow(clippy::too_many_arguments)]
    fn new() -> Self {
        Self {}
    }
    /// Enqueues this job with its own options; `Client::enqueue` takes others.
    ///
    /// # Errors
    /// If the job is refused, or the store cannot be reached.
    async fn enqueue(
        self,
        client: &::steadfast::__private::Client,
    ) -> ::core::result::Result<
        ::steadfast::__private::Enqueued,
        ::steadfast::__private::EnqueueError,
    > {
        client.enqueue(self).await
    }
    /// Enqueues this job to run after `delay`.
    ///
    /// # Errors
    /// If the job is refused, or the store cannot be reached.
    async fn enqueue_in(
        self,
        delay: ::core::time::Duration,
        client: &::steadfast::__private::Client,
    ) -> ::core::result::Result<
        ::steadfast::__private::Enqueued,
        ::steadfast::__private::EnqueueError,
    > {
        client.enqueue(self).delay(delay).await
    }
    /// Enqueues this job to run at `at` or later.
    ///
    /// # Errors
    /// If the job is refused, or the store cannot be reached.
    async fn enqueue_at(
        self,
        at: ::steadfast::__private::Timestamp,
        client: &::steadfast::__private::Client,
    ) -> ::core::result::Result<
        ::steadfast::__private::Enqueued,
        ::steadfast::__private::EnqueueError,
    > {
        client.enqueue(self).at(at).await
    }
}
#[automatically_derived]
impl ::steadfast::__private::Job for Digest {
    fn spec() -> &'static ::steadfast::__private::JobSpec {
        static SPEC: ::std::sync::LazyLock<::steadfast::__private::JobSpec> = ::std::sync::LazyLock::new(||
        {
            let mut spec = ::steadfast::__private::JobSpec::new(const {
                ::steadfast::__private::Kind::from_static("digest")
            });
            spec.schedules = ::std::vec![
                ::steadfast::__private::cron("digest", "0 3 * * *", "Europe/Berlin",
                ::steadfast::__private::Missed::All { max : 10u32 },
                ::steadfast::__private::Overlap::Skip,
                ::core::time::Duration::from_millis(30000u64)),
                ::steadfast::__private::cron("digest.2", "@hourly", "UTC",
                ::steadfast::__private::Missed::Once,
                ::steadfast::__private::Overlap::Allow,
                ::core::time::Duration::from_millis(0u64))
            ];
            spec
        });
        &SPEC
    }
    fn run(
        self,
        ctx: ::steadfast::__private::JobContext,
    ) -> impl ::core::future::Future<
        Output = ::core::result::Result<(), ::steadfast::__private::JobError>,
    > + ::core::marker::Send {
        async move {
            #[allow(unused_imports)]
            use ::steadfast::__private::{
                AsError as _, AsIntoJobError as _, AsNothing as _, AsValue as _,
            };
            let Self {} = self;
            match ::steadfast::__private::Outcome(
                    ::steadfast::__private::job_future_must_be_send(digest()).await,
                )
                .into_result()
            {
                ::core::result::Result::Ok(_) => ::core::result::Result::Ok(()),
                ::core::result::Result::Err(error) => {
                    ::core::result::Result::Err(
                        (&&&::steadfast::__private::ErrorOf::of(&error)).job_error(error),
                    )
                }
            }
        }
    }
}
#[doc(hidden)]
#[allow(non_camel_case_types, dead_code)]
type digest = Digest;
