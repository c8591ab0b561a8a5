//! Opening the file.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};
use tokio::sync::Mutex;

use super::writer::{BUSY_PAUSE, Writer};
use super::{SqliteStore, error};
use crate::sqlite::schema::{self, SchemaError};

/// Why the file could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It would not be a file.
    #[error(
        "{file:?} is a database in memory, which no other process can share and which is lost with this one: \
         name a file, or use tcc_core::store::MemoryStore"
    )]
    InMemory {
        /// What was asked for.
        file: String,
    },
    /// The address has a parameter that is not known here.
    #[error("{file:?} has the parameter {parameter:?}: only mode=ro, mode=rw and mode=rwc are known")]
    Parameter {
        /// What was asked for.
        file: String,
        /// The parameter.
        parameter: String,
    },
    /// It can't be written to.
    #[error(
        "{path} can't be opened for writing: give this process the right to write to it and to its folder, where \
         SQLite puts two files beside it"
    )]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// It is something else.
    #[error("{path} is not a SQLite database: name another file")]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// Its tables could not be made ready.
    #[error("{path} can't be used as a status store")]
    Schema {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        #[source]
        source: SchemaError,
    },
    /// Anything else.
    #[error("{path} can't be opened")]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
}

/// How a [`SqliteStore`] is opened.
#[derive(Debug, Clone)]
pub struct Builder {
    file: String,
    busy_timeout: Duration,
    readers: u32,
}

impl Builder {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), busy_timeout: Duration::from_secs(5), readers: 4 }
    }

    /// How long a write waits for those of other processes, before it answers that the store is unavailable. Default
    /// 5 s.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// How many connections read at the same time, beside the one that writes. Default 4, at least 1.
    #[must_use]
    pub fn readers(mut self, readers: u32) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// Opens it; makes the file and its tables if they are missing. Safe when several processes do so at once.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file, and how to mend it.
    pub async fn open(self) -> Result<SqliteStore, OpenError> {
        let Target { options, read_only } = self.target()?;
        let path = options.get_filename().to_owned();
        let options = options.busy_timeout(self.busy_timeout).synchronous(SqliteSynchronous::Full);
        let explain = |source: sqlx::Error| match source {
            source if error::forbids_writing(&source) => {
                OpenError::NotWritable { path: path.clone(), source }
            }
            source if error::is_not_a_database(&source) => {
                OpenError::NotADatabase { path: path.clone(), source }
            }
            source => OpenError::Database { path: path.clone(), source },
        };
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(explain)?;
        if !read_only {
            write_ahead(&mut connection, self.busy_timeout).await.map_err(explain)?;
        }
        schema::migrate(&mut connection, &schema::STORE).await.map_err(|source| match source {
            SchemaError::Database(source) => explain(source),
            source @ SchemaError::Newer { .. } => OpenError::Schema { path: path.clone(), source },
        })?;
        let readers = SqlitePoolOptions::new()
            .max_connections(self.readers)
            .acquire_timeout(self.busy_timeout.max(Duration::from_secs(1)))
            .idle_timeout(None)
            .max_lifetime(None)
            // The connection is a file in this process: there is nothing that a ping could find out.
            .test_before_acquire(false)
            .connect_lazy_with(options.clone().create_if_missing(false).pragma("query_only", "1"));
        // A later connection takes the file as it is; if it is gone, a new one in its place would be empty.
        let writer = Writer::new(options.create_if_missing(false), connection);
        Ok(SqliteStore { path, read_only, writer: Mutex::new(writer), readers })
    }

    fn target(&self) -> Result<Target, OpenError> {
        let file = &self.file;
        let (address, parameters) = match file.strip_prefix("sqlite:") {
            Some(address) => address.split_once('?').unwrap_or((address, "")),
            None => (file.as_str(), ""),
        };
        let name = address.strip_prefix("//").unwrap_or(address);
        if name.is_empty() || name == ":memory:" {
            return Err(OpenError::InMemory { file: file.clone() });
        }
        let (mut read_only, mut create) = (false, true);
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter {
                "mode=ro" => (read_only, create) = (true, false),
                "mode=rw" => create = false,
                "mode=rwc" => {}
                "mode=memory" => return Err(OpenError::InMemory { file: file.clone() }),
                other => {
                    return Err(OpenError::Parameter { file: file.clone(), parameter: other.to_owned() });
                }
            }
        }
        let options = if file.starts_with("sqlite:") {
            SqliteConnectOptions::from_str(file)
                .map_err(|source| OpenError::Database { path: name.into(), source })?
        } else {
            SqliteConnectOptions::new().filename(name)
        };
        Ok(Target { options: options.create_if_missing(create).read_only(read_only), read_only })
    }
}

struct Target {
    options: SqliteConnectOptions,
    read_only: bool,
}

/// Puts the file into write-ahead mode, which it keeps.
///
/// That needs the file for itself for a moment, and SQLite's busy timeout does not wait for it: when several processes
/// open a new file at once, all but one are told that it is busy.
async fn write_ahead(db: &mut SqliteConnection, busy_timeout: Duration) -> Result<(), sqlx::Error> {
    let begun = Instant::now();
    loop {
        match sqlx::query("PRAGMA journal_mode = WAL").execute(&mut *db).await {
            Err(error) if error::is_busy(&error) && begun.elapsed() < busy_timeout => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            answer => return answer.map(drop),
        }
    }
}
