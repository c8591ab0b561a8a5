//! A status store of tcc on Redis.
//!
//! ```no_run
//! # async fn run() -> Result<(), tcc_redis::ConnectError> {
//! use tcc_redis::RedisStore;
//!
//! let store = RedisStore::connect("redis://127.0.0.1").await?;
//! // or, with settings of its own:
//! let store = RedisStore::builder("redis://user:password@redis.example:6379/2").namespace("billing").connect().await?;
//! # Ok(()) }
//! ```
//!
//! # The server
//!
//! Redis 6.2 or newer, or Valkey, with `maxmemory-policy noeviction` and, for what must outlive a crash of the server,
//! `appendonly yes` and `appendfsync always`. [`check`](tcc_core::store::StatusStore::check) looks whether it is so.
//! One connection serves all calls, so the server must not be a cluster of several nodes, though the keys are made for one.
//!
//! # What is kept, and where
//!
//! | key | type | what |
//! | --- | --- | --- |
//! | `{ns:group}:shards` | string | the number of shards of the group, fixed at its first use |
//! | `{ns:group:shard}:<id>` | string | a log |
//! | `{ns:group:shard}:due` | sorted set | unfinished transactions by when they are due, in microseconds of the server's clock |
//! | `{ns:group:shard}:kept` | sorted set | transactions kept for ever |
//!
//! A log can be read by eye: for every entry its text, the number of entries so far, and its op. Unfinished logs have no time
//! to live; finished ones have theirs.
//!
//! # What an error means
//!
//! [`Unavailable`](tcc_core::store::StoreError::Unavailable) is said only where it is certain that nothing was written: there
//! was no connection, or the server turned the call down before it began. Everything else that is not an answer, a broken
//! connection or no answer in time, is [`Ambiguous`](tcc_core::store::StoreError::Ambiguous).
//!
//! # Features
//!
//! - `tls`: `rediss://` URLs, by rustls.

mod advice;
mod batch;
mod builder;
mod check;
mod claim;
mod connection;
mod error;
mod index;
mod keys;
mod list;
mod rights;
mod scripts;
mod shards;
mod store;
mod text;

pub use builder::RedisStoreBuilder;
pub use error::ConnectError;
pub use store::RedisStore;
