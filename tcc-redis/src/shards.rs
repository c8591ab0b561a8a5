//! The number of shards of a group: kept on the server, as its logs would not be found with another.

use redis::{Value, from_redis_value};
use tcc_core::protocol::Group;

use crate::connection::Connection;
use crate::error::Failure;

/// What a group's number of shards is kept as, if it is kept yet.
pub(crate) async fn known(connection: &Connection, key: &str) -> Result<Option<u16>, Failure> {
    let reply = connection.ask(redis::cmd("GET").arg(key)).await?;
    from_redis_value(reply).map_err(|_| Failure::unexpected("no number of shards"))
}

/// Keeps it, unless one is kept already; whichever is kept then.
pub(crate) async fn fix(
    connection: &Connection,
    key: &str,
    group: &Group,
    count: u16,
) -> Result<u16, Failure> {
    let reply = connection.ask(redis::cmd("SET").arg(key).arg(count).arg("NX")).await?;
    if reply != Value::Nil {
        tracing::debug!(%group, shards = count, "first use of the group");
        return Ok(count);
    }
    Ok(known(connection, key).await?.unwrap_or(count))
}
