//! Status stores and fences in SQL databases, over [sqlx](https://docs.rs/sqlx).
//!
//! - [`sqlite`] (feature `sqlite`, on by default): [`SqliteStore`](sqlite::SqliteStore), a status store in a file, and
//!   [`SqliteFence`](sqlite::SqliteFence), the care of a participant's fence table.
//! - [`Fenced`] gives every [`Branch`](tcc_core::Branch) the method `cx.fenced(&pool, async |db| …)`, which runs a phase
//!   exactly once, and [`Fence`] the step beneath it.

#[cfg_attr(
    not(feature = "sqlite"),
    allow(dead_code, unused_imports, reason = "what is the same for every database")
)]
mod fence;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use fence::{Answer, Fence, FenceError, FenceRow, FenceState, Fenced, Gate};
