// #[job(version = 3, upgrade = older::card, redact = ["card_number", r#type])]
async fn charge(total: u64, card_number: String, r#type: Option<String>) {}
const _: () = {
    ::steadfast::__private::argument::<u64>();
    ::steadfast::__private::argument::<String>();
    ::steadfast::__private::argument::<Option<String>>();
};
/// The arguments of the job `charge`.
#[derive(
    Clone,
    ::steadfast::__private::serde::Serialize,
    ::steadfast::__private::serde::Deserialize
)]
#[serde(crate = "::steadfast::__private::serde")]
#[allow(dead_code)]
struct Charge {
    /// The argument `total`.
    #[serde(rename = "cents", alias = "amount")]
    total: u64,
    /// The argument `card_number`.
    card_number: String,
    /// The argument `type`.
    #[serde(default)]
    r#type: Option<String>,
}
#[automatically_derived]
impl ::core::fmt::Debug for Charge {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Charge")
            .field("total", &self.total)
            .field("card_number", &::core::format_args!("[redacted]"))
            .field("type", &::core::format_args!("[redacted]"))
            .finish()
    }
}
#[allow(dead_code)]
impl Charge {
    /// The job with its required arguments; optional ones have setters.
    #[must_use]
    #[allow(clippy::too_many_arguments)]
    fn new(total: u64, card_number: String) -> Self {
        Self {
            total,
            card_number,
            r#type: ::core::default::Default::default(),
        }
    }
    /// Sets the optional argument `type`.
    #[must_use]
    fn r#type(
        mut self,
        r#type: impl ::steadfast::__private::OptionalArg<String>,
    ) -> Self {
        self.r#type = ::steadfast::__private::OptionalArg::into_option(r#type);
        self
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
            spec.version = 3u32;
            spec.upgrade = ::core::option::Option::Some(|from, args| {
                let upgrade: fn(
                    ::core::primitive::u32,
                    ::steadfast::__private::serde_json::Value,
                ) -> ::core::result::Result<
                    ::steadfast::__private::serde_json::Value,
                    _,
                > = older::card;
                ::steadfast::__private::upgraded(upgrade(from, args))
            });
            spec.shown = ::core::option::Option::Some(::std::vec!["cents", "amount"]);
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
            let Self { total: arg0, card_number: arg1, r#type: arg2 } = self;
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
}
#[doc(hidden)]
#[allow(non_camel_case_types, dead_code)]
type charge = Charge;
