//! Status stores in SQL databases, over [sqlx](https://docs.rs/sqlx).
//!
//! [`sqlite`] (feature `sqlite`, on by default): [`SqliteStore`](sqlite::SqliteStore), a status store in a file.

#[cfg(feature = "sqlite")]
pub mod sqlite;
