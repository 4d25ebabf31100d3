// #[job(queue = "email", retries = unlimited, timeout = none)]
pub(crate) async fn send(
    id: u64,
    State(mailer): State<Mailer>,
    ctx: JobContext,
) -> anyhow::Result<()> {
    mailer.send(id, ctx.idempotency_key()).await
}
const _: () = {
    ::steadfast::__private::argument::<u64>();
};
/// The arguments of the job `send`.
#[derive(
    Debug,
    Clone,
    ::steadfast::__private::serde::Serialize,
    ::steadfast::__private::serde::Deserialize
)]
#[serde(crate = "::steadfast::__private::serde")]
#[allow(dead_code)]
pub(crate) struct Send {
    /// The argument `id`.
    pub(crate) id: u64,
}
#[allow(dead_code)]
impl Send {
    /// The job with its required arguments; optional ones have setters.
    #[must_use]
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(id: u64) -> Self {
        Self { id }
    }
    /// Enqueues this job with its own options; `Client::enqueue` takes others.
    ///
    /// # Errors
    /// If the job is refused, or the store cannot be reached.
    pub(crate) async fn enqueue(
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
    pub(crate) async fn enqueue_in(
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
    pub(crate) async fn enqueue_at(
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
impl ::steadfast::__private::Job for Send {
    fn spec() -> &'static ::steadfast::__private::JobSpec {
        static SPEC: ::std::sync::LazyLock<::steadfast::__private::JobSpec> = ::std::sync::LazyLock::new(||
        {
            let mut spec = ::steadfast::__private::JobSpec::new(const {
                ::steadfast::__private::Kind::from_static("send")
            });
            spec.queue = const {
                ::steadfast::__private::QueueName::from_static("email")
            };
            spec.max_attempts = ::core::primitive::u32::MAX;
            spec.timeout = ::core::option::Option::None;
            spec.states = ::std::vec![
                ::steadfast::__private::StateNeed::of:: < Mailer > ()
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
            let Self { id: arg0 } = self;
            let state1 = ::steadfast::__private::state::<Mailer>(&ctx)?;
            match ::steadfast::__private::Outcome(
                    ::steadfast::__private::job_future_must_be_send(
                            send(arg0, state1, ctx),
                        )
                        .await,
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
pub(crate) type send = Send;
