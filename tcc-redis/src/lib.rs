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
//! `{ns:group}:shards` has no time to live either, though the group may be empty for long: with another number of shards its
//! logs would not be found. It is one key of a few bytes for each group that ever wrote; delete it by hand with the group.
//!
//! # An id without a log
//!
//! An index may come to hold the id of a transaction whose log is not there. The coordinator says so once
//! (*it is due, and there is no log of it*), [`list`](tcc_core::store::StatusStore::list) shows it among the unreadable, and
//! it holds up no other. It is never removed by itself, for its cause can't be told from what the server holds:
//!
//! - The server refused the log of a new transaction after it had taken its id (out of memory, permissions): nothing ever
//!   began. Or it refused to take the id of a finished one away, and the tombstone has expired since. Then the id is garbage.
//! - The server **lost** a log: an eviction in spite of the check, a `DEL` by hand, a damaged file. Then a transaction that
//!   was unfinished is gone, and its participants may hold what was put aside. A missing log is never an outcome, so nobody
//!   may conclude that this did not happen.
//!
//! So an operator looks: the participants' fences (`compare` lists orphans) tell whether the transaction had effects. Then
//! [`RedisStore::forget`] takes the id away.
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
