//! One SQLite file for each participant, and what is in it at first.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqliteConnection, SqlitePool};
use tcc_sqlx::sqlite::{SchemaError, SqliteFence};

use crate::money::Cents;

/// What a new shop has. It is given once: a shop that has it already keeps what it made of it.
#[derive(Debug, Clone)]
pub struct Seed {
    /// Articles: name, price of a piece, number of pieces.
    pub stock: Vec<(String, Cents, u32)>,
    /// Customers, and the money in their wallets.
    pub customers: Vec<(String, Cents)>,
    /// Coupons, and what each takes off a price.
    pub coupons: Vec<(String, Cents)>,
}

impl Default for Seed {
    /// 10 teapots at 19.90 and 3 lamps at 120.00; ann has 500.00, bob 25.00; the coupon WELCOME takes 5.00 off.
    fn default() -> Self {
        Self {
            stock: vec![("teapot".into(), Cents(1990), 10), ("lamp".into(), Cents(12000), 3)],
            customers: vec![("ann".into(), Cents(50000)), ("bob".into(), Cents(2500))],
            coupons: vec![("WELCOME".into(), Cents(500))],
        }
    }
}

/// Why the shop's databases could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder can't be made or written to.
    #[error("the folder {dir} can't be used for the shop's databases")]
    Folder {
        /// Which.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A database can't be opened, or its tables can't be made.
    #[error("the database {file} can't be used: {}", plain(error))]
    Database {
        /// Which.
        file: PathBuf,
        /// What SQLite said.
        error: sqlx::Error,
    },
    /// There is no shop in the folder.
    #[error("there is no {file}: name the folder of a shop")]
    NoShop {
        /// What was looked for.
        file: PathBuf,
    },
    /// A fence's table can't be made.
    #[error("the fence in {file} can't be used")]
    Fence {
        /// In which database.
        file: PathBuf,
        /// Why.
        #[source]
        source: SchemaError,
    },
}

/// The database's own words: sqlx has them in its text and once more as the source.
fn plain(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

/// Holds a folder while its databases are made, so that of several processes that open it at once one makes them.
///
/// (SQLite's change to write-ahead mode does not wait for others.) The lock ends with the process, however that ends.
pub(crate) async fn hold(dir: &Path) -> Result<File, OpenError> {
    let path = dir.to_owned();
    let locked = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&path)?;
        let file = File::create(path.join("set-up.lock"))?;
        file.lock()?;
        Ok(file)
    });
    let locked = locked.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    locked.map_err(|source| OpenError::Folder { dir: dir.to_owned(), source })
}

/// Opens a participant's database; makes its tables and its fence if they are missing.
pub(crate) async fn open(
    file: PathBuf,
    tables: &'static str,
    seed: impl AsyncFnOnce(&mut SqliteConnection) -> Result<(), sqlx::Error>,
) -> Result<SqlitePool, OpenError> {
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // What was answered survives the machine, as the transaction's log does.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5));
    // SQLite has one writer at a time: within this process it is better waited for here than there.
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
    let opened = async {
        let pool = pool?;
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(tables).execute(&mut *tx).await?;
        seed(&mut tx).await?;
        tx.commit().await?;
        Ok(pool)
    };
    let pool = opened.await.map_err(|error| OpenError::Database { file: file.clone(), error })?;
    SqliteFence::new(pool.clone()).migrate().await.map_err(|source| OpenError::Fence { file, source })?;
    Ok(pool)
}
