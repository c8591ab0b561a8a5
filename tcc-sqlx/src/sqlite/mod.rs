//! SQLite: a store in a file, and the fence of participants whose data is in SQLite.

mod fence;
mod fence_table;
mod schema;
mod store;
mod tidy;

pub use fence::SqliteMark;
pub use fence_table::{CompareError, Compared, SqliteFence};
pub use schema::SchemaError;
pub use store::{Builder, OpenError, SqliteStore};
pub use tidy::{Tidied, Tidy};
