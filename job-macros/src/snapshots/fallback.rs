// #[job(retries = 3)]
fn send(to: &str, id: u64) {}
/// The arguments of the job `send`.
#[derive(Debug, Clone)]
#[allow(dead_code)]
struct Send {
    id: u64,
}
#[allow(dead_code)]
impl Send {
    /// The job with its required arguments.
    #[must_use]
    #[allow(clippy::too_many_arguments)]
    fn new(_: &str, _: u64) -> Self {
        ::core::unimplemented!()
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
#[doc(hidden)]
#[allow(non_camel_case_types, dead_code)]
type send = Send;
#[automatically_derived]
impl ::steadfast::__private::serde::Serialize for Send {
    fn serialize<S: ::steadfast::__private::serde::Serializer>(
        &self,
        _: S,
    ) -> ::core::result::Result<S::Ok, S::Error> {
        ::core::unimplemented!()
    }
}
#[automatically_derived]
impl<'de> ::steadfast::__private::serde::Deserialize<'de> for Send {
    fn deserialize<D: ::steadfast::__private::serde::Deserializer<'de>>(
        _: D,
    ) -> ::core::result::Result<Self, D::Error> {
        ::core::unimplemented!()
    }
}
#[automatically_derived]
impl ::steadfast::__private::Job for Send {
    fn spec() -> &'static ::steadfast::__private::JobSpec {
        ::core::unimplemented!()
    }
    async fn run(
        self,
        _: ::steadfast::__private::JobContext,
    ) -> ::core::result::Result<(), ::steadfast::__private::JobError> {
        ::core::unimplemented!()
    }
}
::core::compile_error! {
    "jobs must be `async fn`\n= help: write `async fn …`, or `#[job(blocking)]` to run it on the blocking pool"
}
::core::compile_error! {
    "job arguments are stored, so they must own their data\n= help: use `String` instead of `&str`"
}
