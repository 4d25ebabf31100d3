// #[job(latest = "user_id")]
async fn sync(user_id: u64) {}
const _: () = {
    ::steadfast::__private::argument::<u64>();
};
/// The arguments of the job `sync`.
#[derive(
    Debug,
    Clone,
    ::steadfast::__private::serde::Serialize,
    ::steadfast::__private::serde::Deserialize
)]
#[serde(crate = "::steadfast::__private::serde")]
#[allow(dead_code)]
struct Sync {
    /// The argument `user_id`.
    user_id: u64,
}
#[allow(dead_code)]
impl Sync {
    /// The job with its required arguments; optional ones have setters.
    #[must_use]
    #[allow(clippy::too_many_arguments)]
    fn new(user_id: u64) -> Self {
        Self { user_id }
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
impl ::steadfast::__private::Job for Sync {
    fn spec() -> &'static ::steadfast::__private::JobSpec {
        static SPEC: ::std::sync::LazyLock<::steadfast::__private::JobSpec> = ::std::sync::LazyLock::new(||
        {
            let mut spec = ::steadfast::__private::JobSpec::new(const {
                ::steadfast::__private::Kind::from_static("sync")
            });
            spec.on_conflict = ::steadfast::__private::OnConflict::Latest;
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
            let Self { user_id: arg0 } = self;
            match ::steadfast::__private::Outcome(
                    ::steadfast::__private::job_future_must_be_send(sync(arg0)).await,
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
    fn unique_key(&self) -> ::core::option::Option<::steadfast::__private::UniqueKey> {
        ::core::option::Option::Some(::steadfast::__private::UniqueKey {
            scope: ::std::string::ToString::to_string(&Self::spec().kind),
            key: ::steadfast::__private::Key::new(
                ::steadfast::__private::KeyPart::key_part(&self.user_id),
            ),
        })
    }
}
#[doc(hidden)]
#[allow(non_camel_case_types, dead_code)]
type sync = Sync;
