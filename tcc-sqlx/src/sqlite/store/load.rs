//! Logs, as rows say them.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use tcc_core::protocol::{Entry, Group, Log, TxId};

/// A log, or what is wrong with it.
pub(super) type Loaded = Result<Log, String>;

/// The log of a transaction, unless its retention has passed.
pub(super) async fn one(
    db: &mut SqliteConnection,
    group: &Group,
    id: TxId,
) -> Result<Option<Loaded>, sqlx::Error> {
    // One statement, so one snapshot: the head and the entries belong together.
    let rows = sqlx::query(
        "SELECT n, op, line, appended, last_op FROM tcc_logs LEFT JOIN tcc_entries USING (log) \
         WHERE grp = ? AND id = ? AND (expires_ms IS NULL OR expires_ms > (SELECT ms FROM tcc_now)) ORDER BY n",
    )
    .bind(group.as_str())
    .bind(id.to_string())
    .fetch_all(db)
    .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let (appended, last_op): (i64, String) = match (first.try_get(3), first.try_get(4)) {
        (Ok(appended), Ok(last_op)) => (appended, last_op),
        _ => return Ok(Some(Err("its row in tcc_logs is damaged".into()))),
    };
    Ok(Some(build(&rows, appended, &last_op)))
}

/// The entries of a log whose row is known.
pub(super) async fn entries(
    db: &mut SqliteConnection,
    log: i64,
    appended: i64,
    last_op: &str,
) -> Result<Loaded, sqlx::Error> {
    let rows = sqlx::query("SELECT n, op, line FROM tcc_entries WHERE log = ? ORDER BY n")
        .bind(log)
        .fetch_all(db)
        .await?;
    Ok(build(&rows, appended, last_op))
}

fn build(rows: &[SqliteRow], appended: i64, last_op: &str) -> Loaded {
    let damaged = |n: i64, what: &str| format!("entry {n} of {appended} {what}");
    let first = appended - rows.len() as i64 + 1;
    let mut entries = Vec::with_capacity(rows.len());
    for (row, expected) in rows.iter().zip(first..) {
        // Of a log without entries, the join gives one row of nulls.
        if row.try_get::<Option<i64>, _>(0).ok().flatten() != Some(expected) {
            return Err(damaged(expected, "is missing"));
        }
        let op = row.try_get::<&str, _>(1).ok().and_then(|op| op.parse().ok());
        let op = op.ok_or_else(|| damaged(expected, "has an op that is none"))?;
        let line: &str = row.try_get(2).map_err(|_| damaged(expected, "is not text"))?;
        entries.push(Entry::new(op, line).map_err(|_| damaged(expected, "has a line break"))?);
    }
    if entries.last().is_none_or(|entry| entry.op().to_string() != last_op) {
        return Err("its last entry is not the one that its row in tcc_logs names".into());
    }
    u32::try_from(appended)
        .ok()
        .and_then(|appended| Log::new(entries, appended))
        .ok_or_else(|| "it has more entries than were appended".into())
}
