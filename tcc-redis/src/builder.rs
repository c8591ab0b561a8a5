//! How a store is to be.

use std::fmt;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use crate::connection::Connection;
use crate::error::{ConnectError, Failure};
use crate::store::RedisStore;

/// The greatest number of shards of a group.
const MAX_SHARDS: u16 = 256;
/// The greatest length of a namespace.
const MAX_NAMESPACE: usize = 64;

/// How a [`RedisStore`] is to be; made by [`RedisStore::builder`].
#[derive(Clone)]
#[must_use = "nothing is connected before `connect`"]
pub struct RedisStoreBuilder {
    url: String,
    namespace: String,
    shards: u16,
    connect_timeout: Duration,
    response_timeout: Duration,
    allow_eviction: bool,
    #[cfg(feature = "tls")]
    certificates: redis::TlsCertificates,
}

/// What of the builder the store itself needs.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) namespace: String,
    pub(crate) shards: u16,
    pub(crate) allow_eviction: bool,
}

impl RedisStoreBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            namespace: "tcc".to_owned(),
            shards: 1,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(5),
            allow_eviction: false,
            #[cfg(feature = "tls")]
            certificates: redis::TlsCertificates { client_tls: None, root_cert: None },
        }
    }

    /// What all keys begin with, so that several products may share a server; `tcc` unless said otherwise. 1 to 64 of
    /// `a-z`, `A-Z`, `0-9`, `_`, `-`, `.` and `:`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Into how many parts the logs of each group are divided, 1 to 256; 1 unless said otherwise.
    ///
    /// It is fixed when a group is first used: with another number its logs would not be found, so a store with another
    /// number refuses the group.
    pub fn shards(mut self, shards: u16) -> Self {
        self.shards = shards;
        self
    }

    /// How long an answer is waited for; 5 s unless said otherwise. A write that is not answered by then is ambiguous, and
    /// the connection is replaced.
    pub fn response_timeout(mut self, time: Duration) -> Self {
        self.response_timeout = time;
        self
    }

    /// How long connecting may take, all in all; 2 s unless said otherwise. Calls wait for it no longer, and are not sent
    /// then.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// Whether a server that may evict keys will do: its `maxmemory-policy` is then a warning of
    /// [`check`](tcc_core::store::StatusStore::check), no error. **It loses unfinished transactions** as soon as its memory
    /// is full; this is for servers whose policy can't be changed and whose memory is certain to suffice.
    pub fn allow_eviction(mut self, allow: bool) -> Self {
        self.allow_eviction = allow;
        self
    }

    /// The root certificate of a `rediss://` server, in PEM form, in place of those that the system trusts.
    #[cfg(feature = "tls")]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.root_cert = Some(pem.into());
        self
    }

    /// The certificate and key, in PEM form, by which a `rediss://` server knows us.
    #[cfg(feature = "tls")]
    pub fn client_certificate(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.certificates.client_tls =
            Some(redis::ClientTlsConfig { client_cert: certificate.into(), client_key: key.into() });
        self
    }

    /// Connects. Once this has succeeded, the store finds its way back after every outage by itself.
    ///
    /// # Errors
    /// [`ConnectError`]; it never holds the URL or the password.
    pub async fn connect(self) -> Result<RedisStore, ConnectError> {
        self.check()?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(ConnectError::NoRuntime);
        }
        let client = self.client()?;
        let address = client.get_connection_info().addr().to_string();
        let connection =
            Connection::open(client, self.connect_timeout, self.response_timeout).await.map_err(
                |failure| ConnectError::Unreachable { what: without_address(failure, &address), address },
            )?;
        let settings =
            Settings { namespace: self.namespace, shards: self.shards, allow_eviction: self.allow_eviction };
        Ok(RedisStore::new(connection, settings))
    }

    fn check(&self) -> Result<(), ConnectError> {
        let setting =
            |field, value: String, permitted| Err(ConnectError::Setting { field, value, permitted });
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        let namespace = &self.namespace;
        if namespace.is_empty() || namespace.len() > MAX_NAMESPACE || !namespace.chars().all(allowed) {
            let permitted = "1 to 64 of a-z, A-Z, 0-9, '_', '-', '.' and ':'";
            return setting("namespace", format!("{:?}", shorten(namespace)), permitted);
        }
        if !(1..=MAX_SHARDS).contains(&self.shards) {
            return setting("shards", self.shards.to_string(), "1 to 256");
        }
        for (field, time) in
            [("connect_timeout", self.connect_timeout), ("response_timeout", self.response_timeout)]
        {
            if time < Duration::from_millis(1) {
                return setting(field, format!("{time:?}"), "1 ms or more");
            }
        }
        Ok(())
    }

    fn client(&self) -> Result<Client, ConnectError> {
        let url = |what: String| ConnectError::Url { what };
        if !cfg!(feature = "tls") && (self.url.starts_with("rediss://") || self.url.starts_with("valkeys://"))
        {
            return Err(ConnectError::NoTls);
        }
        let info =
            self.url.as_str().into_connection_info().map_err(|error| url(self.what_is_wrong(&error)))?;
        // RESP3 tells of a connection that breaks while nothing is asked; every server that is new enough speaks it.
        let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info.set_redis_settings(redis).set_tcp_settings(TcpSettings::default().set_nodelay(true));
        self.open(info).map_err(|error| url(error.to_string()))
    }

    #[cfg(feature = "tls")]
    fn open(&self, info: ConnectionInfo) -> redis::RedisResult<Client> {
        if !matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. }) {
            return Client::open(info);
        }
        // rustls guesses its provider only while a program holds a single one, and panics otherwise. One that the program
        // has chosen stays: then this does nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::build_with_tls(info, self.certificates.clone())
    }

    #[cfg(not(feature = "tls"))]
    fn open(&self, info: ConnectionInfo) -> redis::RedisResult<Client> {
        Client::open(info)
    }

    /// The parser's words, and what helps. Neither has anything of the URL but its scheme.
    fn what_is_wrong(&self, error: &redis::RedisError) -> String {
        const SCHEMES: [&str; 7] =
            ["redis", "rediss", "valkey", "valkeys", "redis+unix", "valkey+unix", "unix"];
        const FORM: &str = "write redis://host:port, redis://user:password@host:port/db, rediss://… for TLS, or \
                            redis+unix:///path";
        match self.url.split_once("://") {
            None => format!("it has no scheme; {FORM}"),
            Some((scheme, _)) if !SCHEMES.contains(&scheme) => {
                // A password may stand where a scheme should: only what looks like one is repeated.
                let plain = scheme.len() <= 12 && scheme.bytes().all(|b| b.is_ascii_lowercase() || b == b'+');
                let scheme =
                    if plain { format!("the scheme {scheme:?} is") } else { "its scheme is".to_owned() };
                format!("{scheme} not known; {FORM}")
            }
            Some(_) => format!(
                "{}; {FORM}; special characters in user and password are percent-encoded",
                without_detail(error)
            ),
        }
    }
}

/// Enough of it to know it again.
fn shorten(text: &str) -> String {
    text.chars().take(MAX_NAMESPACE + 1).collect()
}

/// The parser's text without its detail, which may be a part of the URL.
fn without_detail(error: &redis::RedisError) -> String {
    error.to_string().split(" - ").next().unwrap_or_default().to_owned()
}

fn without_address(failure: Failure, address: &str) -> String {
    let text = failure.to_string();
    let prefix = format!("no connection to {address}: ");
    text.strip_prefix(&prefix).map_or_else(|| text.clone(), str::to_owned)
}

impl fmt::Debug for RedisStoreBuilder {
    /// Without the URL, which may hold a password, and without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("namespace", &self.namespace)
            .field("shards", &self.shards)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("allow_eviction", &self.allow_eviction)
            .finish_non_exhaustive()
    }
}
