// #[job(idempotency = "{tenant}:{order.id}{{x}}", unique = (tenant, order.id))]
async fn ship(tenant: String, order: Order) {}
const _: () = {
    ::steadfast::__private::argument::<String>();
    ::steadfast::__private::argument::<Order>();
};
/// The arguments of the job `ship`.
#[derive(
    Debug,
    Clone,
    ::steadfast::__private::serde::Serialize,
    ::steadfast::__private::serde::Deserialize
)]
#[serde(crate = "::steadfast::__private::serde")]
#[allow(dead_code)]
struct Ship {
    /// The argument `tenant`.
    tenant: String,
    /// The argument `order`.
    order: Order,
}
#[allow(dead_code)]
impl Ship {
    /// The job with its required arguments; optional ones have setters.
    #[must_use]
    #[allow(clippy::too_many_arguments)]
    fn new(tenant: String, order: Order) -> Self {
        Self { tenant, order }
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
impl ::steadfast::__private::Job for Ship {
    fn spec() -> &'static ::steadfast::__private::JobSpec {
        static SPEC: ::std::sync::LazyLock<::steadfast::__private::JobSpec> = ::std::sync::LazyLock::new(||
        {
            let spec = ::steadfast::__private::JobSpec::new(const {
                ::steadfast::__private::Kind::from_static("ship")
            });
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
            let Self { tenant: arg0, order: arg1 } = self;
            match ::steadfast::__private::Outcome(
                    ::steadfast::__private::job_future_must_be_send(ship(arg0, arg1))
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
    fn idempotency_key(
        &self,
    ) -> ::core::option::Option<::steadfast::__private::IdempotencyKey> {
        ::core::option::Option::Some(::steadfast::__private::IdempotencyKey {
            scope: ::std::string::ToString::to_string(&Self::spec().kind),
            key: ::steadfast::__private::Key::new(
                ::std::format!(
                    "{}:{}{{x}}", ::steadfast::__private::KeyPart::key_part(& self
                    .tenant), ::steadfast::__private::KeyPart::key_part(& self.order.id)
                ),
            ),
            window: ::steadfast::__private::IdempotencyKey::DEFAULT_WINDOW,
        })
    }
    fn unique_key(&self) -> ::core::option::Option<::steadfast::__private::UniqueKey> {
        ::core::option::Option::Some(::steadfast::__private::UniqueKey {
            scope: ::std::string::ToString::to_string(&Self::spec().kind),
            key: ::steadfast::__private::Key::of_parts(&[&self.tenant, &self.order.id]),
        })
    }
}
#[doc(hidden)]
#[allow(non_camel_case_types, dead_code)]
type ship = Ship;
