//! SQLite: a store in a file.

mod schema;
mod store;

pub use schema::SchemaError;
pub use store::{Builder, OpenError, SqliteStore};
