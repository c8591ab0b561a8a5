//! The one connection that writes.

use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};

/// The one connection that writes, behind a lock.
///
/// A call may be dropped in the middle, or SQLite may end a transaction by itself (disk full). So whoever ends a
/// transaction says so, and the next one who finds that nobody did looks at the connection before using it.
pub(super) struct Writer {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    /// A transaction was begun, and nobody has said that it ended well.
    unsure: bool,
    closed: bool,
}

impl Writer {
    pub(super) fn new(options: SqliteConnectOptions, connection: SqliteConnection) -> Self {
        Self { options, connection: Some(connection), unsure: false, closed: false }
    }

    /// The connection, outside any transaction; a new one if the last is broken.
    pub(super) async fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        if self.closed {
            return Err(sqlx::Error::PoolClosed);
        }
        if self.unsure
            && let Some(mut connection) = self.connection.take()
        {
            // The answer to the ping comes after the rollback of what was dropped.
            let usable = connection.ping().await.is_ok() && !connection.is_in_transaction();
            if usable {
                self.connection = Some(connection);
            } else {
                let _ = connection.close_hard().await;
            }
        }
        self.unsure = false;
        if self.connection.is_none() {
            self.connection = Some(SqliteConnection::connect_with(&self.options).await?);
        }
        Ok(self.connection.as_mut().expect("it was made above"))
    }

    /// Begins a transaction that holds the write lock from its start. [`Writer::done`] follows its end.
    pub(super) async fn begin(&mut self) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
        self.connection().await?;
        self.unsure = true;
        let connection = self.connection.as_mut().expect("it was looked at above");
        connection.begin_with("BEGIN IMMEDIATE").await
    }

    /// The last transaction ended well.
    pub(super) fn done(&mut self) {
        self.unsure = false;
    }

    pub(super) async fn close(&mut self) {
        self.closed = true;
        if let Some(connection) = self.connection.take() {
            let _ = connection.close().await;
        }
    }
}

/// How long to wait between two looks at a lock for which SQLite's own busy timeout does not wait.
pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(5);
