//! Connections. A call that fails with its connection has an unknown outcome; the next one dials again.

use crate::error::{NAME, failed, is_connection_lost, is_missing_script, is_moving, not_sent};
use crate::options::{Options, Wait};
use crate::script::Call;
use job_core::{BackendError, Effect, ErrorKind, fault_point};
use redis::aio::{MultiplexedConnection, PubSub};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::{
    Arg, AsyncConnectionConfig, Client, Cmd, RedisError, RedisResult, ServerErrorKind, TlsCertificates, Value,
};
use rustls::crypto::CryptoProvider;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// How long a server may take to take a connection.
const DIAL: Duration = Duration::from_secs(5);

/// How to reach the server.
#[derive(Clone)]
pub(crate) struct Target {
    /// The server, or the nodes that the URL names.
    nodes: Vec<Client>,
    cluster: Option<ClusterClient>,
}

impl Target {
    pub(crate) fn single(options: &Options) -> RedisResult<Self> {
        // An application's choice counts; without one, TLS would panic unless every package agrees on one by chance.
        if CryptoProvider::get_default().is_none() {
            // Somebody else was quicker.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let nodes: RedisResult<Vec<_>> = (0..options.nodes.len()).map(|n| client(options, n)).collect();
        Ok(Self { nodes: nodes?, cluster: None })
    }

    pub(crate) fn cluster(self, options: &Options) -> RedisResult<Self> {
        let mut builder = ClusterClientBuilder::new(options.nodes.clone())
            .connection_timeout(DIAL)
            // We have deadlines of our own.
            .response_timeout(Duration::from_secs(24 * 60 * 60))
            .overall_response_timeout(None)
            // What it sends again after a broken connection may fail in a way that says "nothing was done", which is true of
            // the second time only. We know better when to ask again.
            .retries(0);
        if let Some(ca) = &options.ca {
            builder = builder.certs(certificates(ca));
        }
        Ok(Self { cluster: Some(builder.build()?), ..self })
    }

    pub(crate) const fn is_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    /// A connection that hears messages; `turn` goes through the nodes of a cluster.
    pub(crate) async fn ear(&self, turn: usize) -> RedisResult<PubSub> {
        in_time(DIAL, self.nodes[turn % self.nodes.len()].get_async_pubsub()).await
    }

    async fn dial(&self) -> RedisResult<Connection> {
        if let Some(cluster) = &self.cluster {
            return Ok(Connection::Cluster(in_time(DIAL, cluster.get_async_connection()).await?));
        }
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(DIAL)).set_response_timeout(None);
        let dialled = self.nodes[0].get_multiplexed_async_connection_with_config(&config);
        Ok(Connection::Single(in_time(DIAL, dialled).await?))
    }
}

fn certificates(ca: &[u8]) -> TlsCertificates {
    TlsCertificates { client_tls: None, root_cert: Some(ca.to_vec()) }
}

fn client(options: &Options, node: usize) -> RedisResult<Client> {
    let info = options.nodes[node].clone();
    match &options.ca {
        Some(ca) => Client::build_with_tls(info, certificates(ca)),
        None => Client::open(info),
    }
}

async fn in_time<T>(time: Duration, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let late = |_| Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut)));
    tokio::time::timeout(time, work).await.unwrap_or_else(late)
}

#[derive(Clone)]
enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    async fn ask(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(one) => cmd.query_async(one).await,
            Self::Cluster(all) => {
                let mut moving = Moving::default();
                loop {
                    let answer = cmd.query_async(all).await;
                    let Some(pause) = moving.pause(&answer) else { return answer };
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Two commands on one connection, the second right after the first; the server's errors are answers.
    async fn ask_both(&mut self, first: &Cmd, second: &Cmd) -> RedisResult<(Value, Value)> {
        let mut pipe = redis::pipe();
        pipe.add_command(first.clone()).add_command(second.clone()).ignore_errors();
        match self {
            Self::Single(one) => pipe.query_async(one).await,
            Self::Cluster(all) => {
                let mut moving = Moving::default();
                loop {
                    let answer = pipe.query_async(all).await;
                    let Some(pause) = moving.pause(&answer) else { return answer };
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

/// How often a call has met a cluster that is changing hands; it is asked again for a second or so.
#[derive(Default)]
struct Moving(u32);

impl Moving {
    /// How long to wait before the call is sent again, if this answer says that it was not run.
    fn pause<T>(&mut self, answer: &RedisResult<T>) -> Option<Duration> {
        let again = self.0 < 6 && answer.as_ref().is_err_and(is_moving);
        self.0 += 1;
        again.then(|| Duration::from_millis(10) * 2_u32.pow(self.0))
    }
}

/// A connection that is dialled when it is needed.
pub(crate) struct Link {
    target: Target,
    /// A call that takes longer has an unknown outcome, and its connection is dropped.
    deadline: Duration,
    /// The runtime that drives the connection, if it is not the caller's.
    home: Option<Handle>,
    /// With a number, so that a failure ends only the connection that it was on.
    current: Mutex<(u64, Option<Connection>)>,
    dialling: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Link {
    pub(crate) fn new(target: Target, deadline: Duration, home: Option<Handle>) -> Arc<Self> {
        let (current, dialling) = (Mutex::default(), tokio::sync::Mutex::default());
        Arc::new(Self { target, deadline, home, current, dialling })
    }

    fn current(&self) -> (u64, Option<Connection>) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn connection(&self) -> RedisResult<(u64, Connection)> {
        if let (number, Some(connection)) = self.current() {
            return Ok((number, connection));
        }
        // Callers who come meanwhile share the new connection.
        let _one = self.dialling.lock().await;
        if let (number, Some(connection)) = self.current() {
            return Ok((number, connection));
        }
        let connection = self.target.dial().await?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = (current.0 + 1, Some(connection.clone()));
        Ok((current.0, connection))
    }

    fn drop_connection(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 == number {
            current.1 = None;
        }
    }

    /// Runs work on the connection, at home if there is one, and drops the connection if it fails with it.
    async fn with<T: Send + 'static, F>(
        self: &Arc<Self>,
        operation: &'static str,
        work: impl FnOnce(Connection) -> F + Send + 'static,
    ) -> Result<T, BackendError>
    where
        F: Future<Output = RedisResult<T>> + Send + 'static,
    {
        let link = Arc::clone(self);
        let run = async move {
            let (number, connection) = link.connection().await.map_err(|e| not_sent(operation, e))?;
            if fault_point!(NAME, "redis.{}.before_send", operation.replace(' ', "_")) {
                let text = "failed on purpose before it was sent";
                let (kind, effect) = (ErrorKind::Transient, Effect::NotApplied);
                return Err(BackendError::new(NAME, operation, kind, effect, text));
            }
            let answer = tokio::time::timeout(link.deadline, work(connection)).await;
            let answer = answer.unwrap_or_else(|_| {
                link.drop_connection(number);
                Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())
            });
            let answer = answer.map_err(|error| {
                if is_connection_lost(&error) {
                    link.drop_connection(number);
                }
                failed(operation, error)
            })?;
            if fault_point!(NAME, "redis.{}.after_reply", operation.replace(' ', "_")) {
                let text = "the answer was lost on purpose";
                let (kind, effect) = (ErrorKind::Transient, Effect::Unknown);
                return Err(BackendError::new(NAME, operation, kind, effect, text));
            }
            Ok(answer)
        };
        match &self.home {
            None => run.await,
            Some(home) => home.spawn(run).await.unwrap_or_else(|error| {
                let text = "the call was stopped with its runtime";
                let error = BackendError::new(NAME, operation, ErrorKind::Transient, Effect::Unknown, text)
                    .with_source(error);
                Err(error)
            }),
        }
    }

    /// Runs a script.
    pub(crate) async fn run(self: &Arc<Self>, call: Call) -> Result<Value, BackendError> {
        self.with(
            call.script.operation,
            |mut connection| async move { evaluate(&mut connection, &call).await },
        )
        .await
    }

    /// Runs a script, then waits until others have what it wrote; true if they have.
    pub(crate) async fn run_and_wait(
        self: &Arc<Self>,
        call: Call,
        wait: Wait,
    ) -> Result<(Value, bool), BackendError> {
        self.with(call.script.operation, move |mut connection| async move {
            let waiting = wait.command();
            // Only the connection that wrote can tell who has it.
            let (mut answer, mut got) = connection.ask_both(&call.cmd, &waiting).await?;
            if matches!(&answer, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
            {
                (answer, got) = connection.ask_both(&call.with_text(), &waiting).await?;
            }
            Ok((honest(answer)?, wait.is_met(&got)))
        })
        .await
    }

    /// Runs one plain command.
    pub(crate) async fn command(
        self: &Arc<Self>,
        operation: &'static str,
        cmd: Cmd,
    ) -> Result<Value, BackendError> {
        self.with(operation, |mut connection| async move {
            connection.ask(&cmd).await.map_err(|error| with_key(error, &cmd))
        })
        .await
    }

    /// The answer of each server that may write.
    pub(crate) async fn each_master(
        self: &Arc<Self>,
        operation: &'static str,
        cmd: Cmd,
    ) -> Result<Vec<Value>, BackendError> {
        self.with(operation, |connection| async move {
            match connection {
                Connection::Single(mut one) => Ok(vec![cmd.query_async(&mut one).await?]),
                Connection::Cluster(mut all) => {
                    let everywhere = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                    match all.route_command(cmd, everywhere).await? {
                        Value::Map(answers) => {
                            answers.into_iter().map(|(_, answer)| honest(answer)).collect()
                        }
                        answer => Ok(vec![honest(answer)?]),
                    }
                }
            }
        })
        .await
    }
}

/// Names the key that is of another type, as the scripts do. Our plain commands have it first.
fn with_key(error: RedisError, cmd: &Cmd) -> RedisError {
    match (error.code(), cmd.args_iter().nth(1)) {
        (Some("WRONGTYPE"), Some(Arg::Simple(key))) => {
            let text = format!("{} is of another type than ours: see fsck", String::from_utf8_lossy(key));
            redis::make_extension_error("WRONGTYPE".to_owned(), Some(text))
        }
        _ => error,
    }
}

/// An error that comes as an answer is an error.
fn honest(answer: Value) -> RedisResult<Value> {
    match answer {
        Value::ServerError(error) => Err(error.into()),
        answer => Ok(answer),
    }
}

async fn evaluate(connection: &mut Connection, call: &Call) -> RedisResult<Value> {
    match connection.ask(&call.cmd).await {
        // It has not run; sent with its text, it runs now, and is known from now on.
        Err(error) if is_missing_script(&error) => connection.ask(&call.with_text()).await,
        answer => answer,
    }
}
