//! The one connection to the server, replaced by itself when it breaks.
//!
//! All calls share it. Whoever finds it broken starts one attempt to replace it, on a task of its own, and waits for that
//! attempt together with all others; attempts that fail are spaced out, and calls in between fail at once. A call is never
//! sent twice: whether that is right, only its writer knows.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, PushInfo, PushKind, ServerError, Value};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::advice;
use crate::error::Failure;
use crate::scripts;

/// Between two attempts to reach a server: the first pause, and the longest. A pause doubles, and is jittered.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// For how long a connection to a server that takes no writes is kept, before another is tried: after a failover, the name
/// of the server may stand for another.
const READ_ONLY_PATIENCE: Duration = Duration::from_secs(1);

/// The connection to a server.
pub(crate) struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    address: String,
    connect_timeout: Duration,
    response_timeout: Duration,
    state: Mutex<State>,
}

enum State {
    Up(Link),
    /// An attempt is under way; the channel closes when it has ended.
    Connecting(watch::Receiver<()>),
    Down {
        why: Failure,
        /// No attempt before that.
        until: Instant,
        /// How long the next pause will be.
        pause: Duration,
    },
}

/// An established connection.
#[derive(Clone)]
struct Link {
    connection: MultiplexedConnection,
    since: Instant,
    /// Set once it is known to be of no use any more.
    broken: Arc<AtomicBool>,
}

impl Connection {
    /// Connects. The client's addresses and names are taken from it; nothing of it is ever shown.
    pub(crate) async fn open(
        client: Client,
        connect_timeout: Duration,
        response_timeout: Duration,
    ) -> Result<Self, Failure> {
        let address = client.get_connection_info().addr().to_string();
        let state = State::Down {
            why: Failure::NotSent(format!("not connected to {address} yet")),
            until: Instant::now(),
            pause: FIRST_PAUSE,
        };
        let shared = Shared { client, address, connect_timeout, response_timeout, state: Mutex::new(state) };
        let connection = Self { shared: Arc::new(shared) };
        connection.link().await?;
        Ok(connection)
    }

    /// The user by whose rights the server lets us in.
    pub(crate) fn user(&self) -> &str {
        self.shared.client.get_connection_info().redis_settings().username().unwrap_or("default")
    }

    /// Where the server is.
    pub(crate) fn address(&self) -> &str {
        &self.shared.address
    }

    /// Sends a command and waits for its reply.
    pub(crate) async fn ask(&self, command: &Cmd) -> Result<Value, Failure> {
        let mut link = self.link().await?;
        let answer =
            timeout(self.shared.response_timeout, link.connection.send_packed_command(command)).await;
        match self.received(&link, answer)? {
            Value::ServerError(error) => Err(self.turned_down(&link, &error)),
            reply => Ok(reply),
        }
    }

    /// Sends several commands at once and waits for all replies, each of which may be an error of its own.
    pub(crate) async fn ask_all(&self, commands: &Pipeline) -> Result<Vec<Result<Value, Failure>>, Failure> {
        let mut link = self.link().await?;
        let count = commands.len();
        let answer =
            timeout(self.shared.response_timeout, link.connection.send_packed_commands(commands, 0, count))
                .await;
        let replies = self.received(&link, answer)?;
        if replies.len() != count {
            return Err(Failure::unexpected("another number of replies"));
        }
        let result = replies.into_iter().map(|reply| match reply {
            Value::ServerError(error) => Err(self.turned_down(&link, &error)),
            reply => Ok(reply),
        });
        Ok(result.collect())
    }

    /// Whatever is no reply of the server leaves open what became of the command: redis-rs says the same of one that was
    /// still waiting to be written and of one that was written.
    fn received<T>(
        &self,
        link: &Link,
        answer: Result<redis::RedisResult<T>, tokio::time::error::Elapsed>,
    ) -> Result<T, Failure> {
        let failure = match answer {
            Ok(Ok(reply)) => return Ok(reply),
            Ok(Err(error)) => match ServerError::try_from(error) {
                Ok(error) => return Err(self.turned_down(link, &error)),
                Err(error) => Failure::lost(&error),
            },
            // The other end may be gone without a word: wait for it no longer than once.
            Err(_) => Failure::Lost(format!("no answer within {:?}", self.shared.response_timeout)),
        };
        if !link.broken.swap(true, Ordering::Relaxed) {
            tracing::warn!(address = self.address(), %failure, "the connection to Redis is given up");
        }
        Err(self.shared.without_secret(failure))
    }

    fn turned_down(&self, link: &Link, error: &ServerError) -> Failure {
        let failure = self.shared.without_secret(Failure::answered(error));
        if let Failure::Answered { text, .. } = &failure
            && (text.contains("READONLY") || text.contains("MASTERDOWN"))
            && link.since.elapsed() > READ_ONLY_PATIENCE
        {
            link.broken.store(true, Ordering::Relaxed);
        }
        failure
    }

    /// The connection, or a new one.
    async fn link(&self) -> Result<Link, Failure> {
        loop {
            let mut attempt = {
                let mut state = self.shared.state();
                match &*state {
                    State::Up(link) if !link.broken.load(Ordering::Relaxed) => return Ok(link.clone()),
                    State::Connecting(attempt) => attempt.clone(),
                    State::Down { why, until, .. } if Instant::now() < *until => return Err(why.clone()),
                    State::Up(_) | State::Down { .. } => Attempt::start(&self.shared, &mut state),
                }
            };
            // Nothing is ever sent: this waits for the attempt's end.
            let _ = attempt.changed().await;
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn without_secret(&self, failure: Failure) -> Failure {
        failure.without(self.client.get_connection_info().redis_settings().password())
    }

    async fn connect(&self) -> Result<Link, Failure> {
        let not_connected = |what: &dyn fmt::Display| {
            self.without_secret(Failure::NotSent(format!("no connection to {}: {what}", self.address)))
        };
        let broken = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&broken);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None) // ours is over all of it: the name, the socket, TLS, the log-in, the scripts
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                // A connection that breaks while nobody waits for an answer is found here: the next call is not lost.
                if push.kind == PushKind::Disconnection {
                    seen.store(true, Ordering::Relaxed);
                }
                Ok::<(), redis::RedisError>(())
            });
        let connecting = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            let scripts = scripts::loading();
            // A server that is still loading its data says so, and may be asked later; the scripts are sent when needed.
            connection.send_packed_commands(&scripts, 0, scripts.len()).await?;
            Ok::<_, redis::RedisError>(connection)
        };
        match timeout(self.connect_timeout, connecting).await {
            Ok(Ok(connection)) => Ok(Link { connection, since: Instant::now(), broken }),
            Ok(Err(error)) => {
                let settings = self.client.get_connection_info().redis_settings();
                Err(not_connected(&advice::on_connecting(&error, settings)))
            }
            Err(_) => Err(not_connected(&format_args!(
                "no answer within {:?}; see that Redis runs there, or correct the address in the URL",
                self.connect_timeout
            ))),
        }
    }
}

/// An attempt to connect. When it goes, however that happens, those who wait for it go on.
struct Attempt {
    shared: Arc<Shared>,
    /// How long the pause is if it fails.
    pause: Duration,
    /// Closes when it has ended.
    _ended: watch::Sender<()>,
    outcome: Option<Result<Link, Failure>>,
}

impl Attempt {
    /// Starts one on a task of its own: the caller that needs it may be dropped.
    fn start(shared: &Arc<Shared>, state: &mut State) -> watch::Receiver<()> {
        let (sender, receiver) = watch::channel(());
        let pause = match state {
            State::Down { pause, .. } => *pause,
            State::Up(_) | State::Connecting(_) => FIRST_PAUSE,
        };
        let mut attempt = Self { shared: Arc::clone(shared), pause, _ended: sender, outcome: None };
        *state = State::Connecting(receiver.clone());
        tokio::spawn(async move {
            attempt.outcome = Some(attempt.shared.connect().await);
            drop(attempt);
        });
        receiver
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // Without an outcome its runtime was shut down under it. The next caller, of another runtime, begins at once.
        let interrupted = Failure::NotSent("the attempt to connect was interrupted".to_owned());
        let next = match self.outcome.take() {
            Some(Ok(link)) => {
                tracing::debug!(address = %self.shared.address, "connected to Redis");
                State::Up(link)
            }
            Some(Err(why)) => {
                tracing::warn!(address = %self.shared.address, %why, "Redis is not reached");
                let until = Instant::now() + self.pause.mul_f64(0.5 + 0.5 * fastrand::f64());
                State::Down { why, until, pause: (self.pause * 2).min(LONGEST_PAUSE) }
            }
            None => State::Down { why: interrupted, until: Instant::now(), pause: self.pause },
        };
        *self.shared.state() = next;
    }
}
