//! Status stores and fences in SQL databases, over [sqlx](https://docs.rs/sqlx).
//!
//! - [`sqlite`] (feature `sqlite`, on by default): [`SqliteStore`](sqlite::SqliteStore), a status store in a file, and
//!   [`SqliteFence`](sqlite::SqliteFence), the care of a participant's fence table.
//! - [`Fenced`] gives every [`Branch`](tcc_core::Branch) the method `cx.fenced(&pool, async |db| …)`, which runs a phase
//!   exactly once, and [`Fence`] the step beneath it.
//!
//! # The care of a fence
//!
//! A fence's table grows by a row for each branch, and **nothing removes one by itself**: the coordinator does not know the
//! participants' databases. So each participant with a [`SqliteFence`](sqlite::SqliteFence) does two things:
//!
//! 1. before the coordinator starts: `fence.migrate().await`, which makes the table;
//! 2. for as long as it runs, in a task: `fence.keep_tidy(&store, &groups, Tidy::default()).await`.
//!
//! ```no_run
//! use std::sync::Arc;
//! use tcc_core::protocol::Group;
//! use tcc_sqlx::sqlite::{SqliteFence, SqliteStore, Tidy};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The coordinator's, and each participant's own; here all are in one process.
//! let store = Arc::new(SqliteStore::open("tcc.db").await?);
//! let inventory = sqlx::SqlitePool::connect("sqlite:inventory.db?mode=rwc").await?;
//!
//! let fence = SqliteFence::new(inventory.clone());
//! fence.migrate().await?;
//! let groups = [Group::new("shop")?];
//! tokio::spawn({
//!     let store = store.clone();
//!     async move { fence.keep_tidy(&store, &groups, Tidy::default()).await }
//! });
//! // Then the coordinator: tcc_core::Coordinator::builder(..) with this store, and an `Inventory { db: inventory }`.
//! # Ok(()) }
//! ```
//!
//! The second does a pass each hour. It *compares* rows that are tried or refused, and those of `#[on_confirm]` branches,
//! with the status store, and marks those whose transaction is finished; then it *purges* what is final and began more than
//! a day ago, below a horizon that is kept in the database: under it, a try without a row is too late, and confirm and
//! cancel of it are done. `groups` are **all** groups whose transactions this participant serves: a row of a group that is
//! left out looks like one without a transaction. Tried rows without one are *orphans*; they are never removed, and told as
//! errors, for nobody will ever confirm or cancel them: only a store that has lost a transaction explains them.
//!
//! Who would rather have it in a job of her own calls [`tidy`](sqlite::SqliteFence::tidy) for a pass, or
//! [`compare`](sqlite::SqliteFence::compare) and [`purge`](sqlite::SqliteFence::purge) themselves. The ages matter:
//! [`Tidy`](sqlite::Tidy) says how long they have to be. Without any of it everything stays correct, and the table grows.
//!
//! # In tests
//!
//! Where calls are dropped, as by [`participant_suite!`](tcc_core::testing) and by every call that is out of time, let the
//! fixture use a file, in a folder of [`tempfile`](https://docs.rs/tempfile), and not `sqlite::memory:`. A database in memory
//! is gone with its last connection, and a dropped call may cost its own; and the locks of a cache that connections share
//! are not those of a file.

#[cfg_attr(
    not(feature = "sqlite"),
    allow(dead_code, unused_imports, reason = "what is the same for every database")
)]
mod fence;
mod plain;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use fence::{Answer, Fence, FenceError, FenceRow, FenceState, Fenced, Gate};
