// #[job(name = "billing.charge", aliases = ["charge"], queue = Queues::EMAIL, priority = high, retries = 5, backoff(exponential, base = "2s", factor = 3, max = "1h", jitter = "none"), timeout = "90s", ttl = "2h", snoozes = 500, version = 2, idempotency(key = "customer.id", ttl = "36h", scope = queue), unique(key = "customer.id", scope = global), args = ChargeJob)]
/// Charges a customer.
pub async fn charge(customer: Customer, note: Option<String>, times: u8) -> JobResult {
    customer.charge(note, times).await
}
const _: () = {
    ::steadfast::__private::argument::<Customer>();
    ::steadfast::__private::argument::<Option<String>>();
    ::steadfast::__private::argument::<u8>();
};
/// Charges a customer.
#[derive(
    Debug,
    Clone,
    ::steadfast::__private::serde::Serialize,
    ::steadfast::__private::serde::Deserialize
)]
#[serde(crate = "::steadfast::__private::serde")]
#[allow(dead_code)]
pub struct ChargeJob {
    /// Who pays.
    pub customer: Customer,
    /// The argument `note`.
    #[serde(default)]
    pub note: Option<String>,
    /// The argument `times`.
    #[serde(default = "one")]
    pub times: u8,
}
#[allow(dead_code)]
impl ChargeJob {
    /// The job with its required arguments; optional ones have setters.
    #[must_use]
    #[allow(clippy::too_many_arguments)]
    pub fn new(customer: Customer) -> Self {
        Self {
            customer,
            note: ::core::default::Default::default(),
            times: one(),
        }
    }
    /// Sets the optional argument `note`.
    #[must_use]
    pub fn note(
        mut self,
        note: impl ::steadfast::__private::OptionalArg<String>,
    ) -> Self {
        self.note = ::steadfast::__private::OptionalArg::into_option(note);
        self
    }
    /// Sets the optional argument `times`.
    #[must_use]
    pub fn times(mut self, times: u8) -> Self {
        self.times = times;
        self
    }
    /// Enqueues this job with its own options; `Client::enqueue` takes others.
    ///
    /// # Errors
    /// If the job is refused, or the store cannot be reached.
    pub async fn enqueue(
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
    pub async fn enqueue_in(
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
    pub async fn enqueue_at(
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
impl ::steadfast::__private::Job for ChargeJob {
    fn spec() -> &'static ::steadfast::__private::JobSpec {
        static SPEC: ::std::sync::LazyLock<::steadfast::__private::JobSpec> = ::std::sync::LazyLock::new(||
        {
            let mut spec = ::steadfast::__private::JobSpec::new(const {
                ::steadfast::__private::Kind::from_static("billing.charge")
            });
            spec.aliases = ::std::vec![
                const { ::steadfast::__private::Kind::from_static("charge") }
            ];
            spec.queue = {
                const __QUEUE: ::steadfast::__private::QueueName = ::steadfast::__private::ConstQueue::new(
                        Queues::EMAIL,
                    )
                    .get();
                __QUEUE
            };
            spec.priority = const {
                ::steadfast::__private::Priority::new(2u8).unwrap()
            };
            spec.max_attempts = 6u32;
            spec.backoff = ::steadfast::__private::Backoff::Exponential {
                base: ::core::time::Duration::from_secs(2u64),
                factor: 3u32,
                max: ::core::time::Duration::from_secs(3600u64),
                jitter: ::steadfast::__private::Jitter::None,
            };
            spec.timeout = ::core::option::Option::Some(
                ::core::time::Duration::from_secs(90u64),
            );
            spec.ttl = ::core::option::Option::Some(
                ::core::time::Duration::from_secs(7200u64),
            );
            spec.snoozes = 500u32;
            spec.version = 2u32;
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
            let Self { customer: arg0, note: arg1, times: arg2 } = self;
            match ::steadfast::__private::Outcome(
                    ::steadfast::__private::job_future_must_be_send(
                            charge(arg0, arg1, arg2),
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
    fn idempotency_key(
        &self,
    ) -> ::core::option::Option<::steadfast::__private::IdempotencyKey> {
        ::core::option::Option::Some(::steadfast::__private::IdempotencyKey {
            scope: ::std::format!("queue:{}", Self::spec().queue),
            key: ::steadfast::__private::Key::new(
                ::steadfast::__private::KeyPart::key_part(&self.customer.id),
            ),
            window: ::core::time::Duration::from_secs(129600u64),
        })
    }
    fn unique_key(&self) -> ::core::option::Option<::steadfast::__private::UniqueKey> {
        ::core::option::Option::Some(::steadfast::__private::UniqueKey {
            scope: ::std::string::String::new(),
            key: ::steadfast::__private::Key::new(
                ::steadfast::__private::KeyPart::key_part(&self.customer.id),
            ),
        })
    }
}
#[doc(hidden)]
#[allow(non_camel_case_types, dead_code)]
pub type charge = ChargeJob;
