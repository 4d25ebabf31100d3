// #[job(limits = ["stripe", "mail.api"], concurrency = 50, rate_limit(key = "tenant", limit = "30/min", burst = 5), concurrency(key = "tenant", limit = 2), ordering_key = "tenant")]
async fn charge(tenant: u64, id: u64) {}
const _: () = {
    ::steadfast::__private::argument::<u64>();
    ::steadfast::__private::argument::<u64>();
};
/// The arguments of the job `charge`.
#[derive(
    Debug,
    Clone,
    ::steadfast::__private::serde::Serialize,
    ::steadfast::__private::serde::Deserialize
)]
#[serde(crate = "::steadfast::__private::serde")]
#[allow(dead_code)]
struct Charge {
    /// The argument `tenant`.
    tenant: u64,
    /// The argument `id`.
    id: u64,
}
#[allow(dead_code)]
impl Charge {
    /// The job with its required arguments; optional ones have setters.
    #[must_use]
    #[allow(clippy::too_many_arguments)]
    fn new(tenant: u64, id: u64) -> Self {
        Self { tenant, id }
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
impl ::steadfast::__private::Job for Charge {
    fn spec() -> &'static ::steadfast::__private::JobSpec {
        static SPEC: ::std::sync::LazyLock<::steadfast::__private::JobSpec> = ::std::sync::LazyLock::new(||
        {
            let mut spec = ::steadfast::__private::JobSpec::new(const {
                ::steadfast::__private::Kind::from_static("charge")
            });
            spec.limits.names = ::std::vec![
                ::steadfast::__private::limit_name("stripe"),
                ::steadfast::__private::limit_name("mail.api")
            ];
            spec.limits.all = ::steadfast::__private::LimitRule {
                concurrency: ::core::option::Option::Some(50u32),
                rate: ::core::option::Option::None,
                adaptive_min: ::core::option::Option::None,
            };
            spec.limits.line = ::steadfast::__private::LimitRule {
                concurrency: ::core::option::Option::Some(2u32),
                rate: ::core::option::Option::Some(::steadfast::__private::Rate {
                    count: 30u32,
                    per: ::core::time::Duration::from_millis(60000u64),
                    burst: 5u32,
                }),
                adaptive_min: ::core::option::Option::None,
            };
            spec.limits.ordered = true;
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
            let Self { tenant: arg0, id: arg1 } = self;
            match ::steadfast::__private::Outcome(
                    ::steadfast::__private::job_future_must_be_send(charge(arg0, arg1))
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
    fn line(&self) -> ::core::option::Option<::steadfast::__private::Key> {
        ::core::option::Option::Some(
            ::steadfast::__private::Key::new(
                ::steadfast::__private::KeyPart::key_part(&self.tenant),
            ),
        )
    }
}
#[doc(hidden)]
#[allow(non_camel_case_types, dead_code)]
type charge = Charge;
