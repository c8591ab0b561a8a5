//! Opening the file.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};
use tokio::sync::Mutex;

use super::writer::{BUSY_PAUSE, Writer};
use super::{SqliteStore, error};
use crate::sqlite::schema::{self, SchemaError};

/// SQLite counts it in milliseconds, as an `i32`.
const MAX_BUSY_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_READERS: u32 = 1024;

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
    /// A setting that is out of range.
    #[error("the setting {field} is {value}: {permitted} is permitted")]
    Setting {
        /// Which.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        permitted: &'static str,
    },
    /// There is no runtime for its connections.
    #[error("there is no tokio runtime here: open {file:?} within one, as in `#[tokio::main] async fn main`")]
    NoRuntime {
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
    /// Its folder is not there.
    #[error("{path} can't be made: there is no folder {folder}; make it, or name another file")]
    NoFolder {
        /// The file.
        path: PathBuf,
        /// The folder that it would be in.
        folder: PathBuf,
    },
    /// It is a folder, a device or the like.
    #[error("{path} is {what}, not a file: name a file")]
    NotAFile {
        /// What was named.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// It is not there, and was not to be made.
    #[error("there is no file {path}: correct the path, or let it be made with mode=rwc")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It can't be written to.
    #[error(
        "{path} can't be opened for writing ({why}): give this process the right to write to it and to its folder, \
         where SQLite puts two files beside it"
    )]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        why: String,
    },
    /// It is something else.
    #[error("{path} is not a SQLite database: name another file")]
    NotADatabase {
        /// The file.
        path: PathBuf,
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
    #[error("{path} can't be opened: {why}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        why: String,
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
    /// 5 s; 0 to 24 h.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// How many connections read at the same time, beside the one that writes. Default 4; 1 to 1024.
    #[must_use]
    pub fn readers(mut self, readers: u32) -> Self {
        self.readers = readers;
        self
    }

    /// Opens it; makes the file and its tables if they are missing. Safe when several processes do so at once.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file, and how to mend it.
    pub async fn open(self) -> Result<SqliteStore, OpenError> {
        self.check()?;
        let Target { options, read_only, create } = self.target()?;
        let path = options.get_filename().to_owned();
        // SQLite has one answer to all of these: "unable to open database file".
        if let Some(error) = look(&path, create) {
            return Err(error);
        }
        let options = options.busy_timeout(self.busy_timeout).synchronous(SqliteSynchronous::Full);
        let explain = |source: sqlx::Error| match source {
            source if error::forbids_writing(&source) => {
                OpenError::NotWritable { path: path.clone(), why: error::plain(&source) }
            }
            source if error::is_not_a_database(&source) => OpenError::NotADatabase { path: path.clone() },
            source => OpenError::Database { path: path.clone(), why: error::describe(&source) },
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

    fn check(&self) -> Result<(), OpenError> {
        if self.busy_timeout > MAX_BUSY_TIMEOUT {
            let value = format!("{:?}", self.busy_timeout);
            return Err(OpenError::Setting { field: "busy_timeout", value, permitted: "0 to 24 h" });
        }
        if !(1..=MAX_READERS).contains(&self.readers) {
            let value = self.readers.to_string();
            return Err(OpenError::Setting { field: "readers", value, permitted: "1 to 1024" });
        }
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(OpenError::NoRuntime { file: self.file.clone() });
        }
        Ok(())
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
                .map_err(|source| OpenError::Database { path: name.into(), why: error::plain(&source) })?
        } else {
            SqliteConnectOptions::new().filename(name)
        };
        Ok(Target { options: options.create_if_missing(create).read_only(read_only), read_only, create })
    }
}

struct Target {
    options: SqliteConnectOptions,
    read_only: bool,
    create: bool,
}

/// What is wrong with a path, beside rights.
fn look(path: &Path, create: bool) -> Option<OpenError> {
    let (path, folder) = (path.to_owned(), path.parent().unwrap_or(Path::new("")));
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Some(OpenError::NotAFile { path, what: "a folder" }),
        Ok(found) if !found.is_file() => Some(OpenError::NotAFile { path, what: "a device or a pipe" }),
        Ok(_) => None,
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Some(OpenError::NoFolder { path: path.clone(), folder: folder.to_owned() })
        }
        Err(error) if error.kind() != ErrorKind::NotFound => None,
        // An empty one is where we are.
        Err(_) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Some(OpenError::NoFolder { path: path.clone(), folder: folder.to_owned() })
        }
        Err(_) if !create => Some(OpenError::Missing { path }),
        Err(_) => None,
    }
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
