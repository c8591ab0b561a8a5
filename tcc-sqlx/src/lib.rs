//! Status stores and fences in SQL databases, over [sqlx](https://docs.rs/sqlx).
//!
//! - [`sqlite`] (feature `sqlite`, on by default): [`SqliteStore`](sqlite::SqliteStore), a status store in a file, and
//!   [`SqliteFence`](sqlite::SqliteFence), the care of a participant's fence table.
//! - [`Fenced`] gives every [`Branch`](tcc_core::Branch) the method `cx.fenced(&pool, async |db| …)`, which runs a phase
//!   exactly once, and [`Fence`] the step beneath it.

mod fence;
mod plain;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use fence::{Answer, Fence, FenceError, FenceRow, FenceState, Fenced, Gate};
