//! What is done inside a transaction that holds the write lock.

use sqlx::{Row, SqliteConnection};

use tcc_core::protocol::{Position, TxId};
use tcc_core::store::{Append, Claim, Claimed, Due, Mode, Retain, StoreError, Unreadable};

use super::{clock, load};

/// The longest line that is taken, in bytes. SQLite's own limit is 10⁹.
const MAX_LINE: usize = 256 << 20;

/// When a log is due and when it may go, as the columns say it.
struct Schedule {
    keep: bool,
    due: Option<i64>,
    expires: Option<i64>,
}

impl Schedule {
    fn new(due: Due, now: i64) -> Self {
        match due {
            Due::Keep => Self { keep: true, due: Some(now), expires: None },
            Due::In(wait) => Self { keep: false, due: Some(clock::after(now, wait)), expires: None },
            Due::Never { retain: Retain::For(time) } => {
                Self { keep: false, due: None, expires: Some(clock::after(now, time)) }
            }
            Due::Never { retain: Retain::Forever } => Self { keep: false, due: None, expires: None },
        }
    }
}

/// One conditional append. The outer error ends the transaction; the inner one is the answer to this write alone.
pub(super) async fn append(
    db: &mut SqliteConnection,
    write: &Append,
    now: i64,
) -> Result<Result<(), StoreError>, sqlx::Error> {
    if write.entry.line().len() > MAX_LINE {
        let what = format!("an entry of {} bytes; at most {MAX_LINE} are taken", write.entry.line().len());
        return Ok(Err(StoreError::Invalid { what }));
    }
    if try_append(db, write, now).await? {
        return Ok(Ok(()));
    }
    match end(db, write, now).await? {
        End::At(position) if position == write.after && position.entries == u32::MAX => {
            Ok(Err(StoreError::Invalid { what: format!("a log has at most {} entries", u32::MAX) }))
        }
        End::At(position) if position == write.after.then(write.entry.op()) => Ok(Ok(())),
        End::At(_) | End::Damaged => Ok(Err(StoreError::Conflict { id: write.id })),
        End::Missing => Ok(Err(StoreError::NotFound { id: write.id })),
        End::Expired if write.after == Position::START => {
            remove(db, write).await?;
            let begun = try_append(db, write, now).await?;
            debug_assert!(begun, "the log that stood in the way is removed");
            Ok(Ok(()))
        }
        End::Expired => Ok(Err(StoreError::NotFound { id: write.id })),
    }
}

/// Appends if the log ends where the write says.
async fn try_append(db: &mut SqliteConnection, write: &Append, now: i64) -> Result<bool, sqlx::Error> {
    if write.after.entries == u32::MAX {
        return Ok(false); // It is full.
    }
    let schedule = Schedule::new(write.due, now);
    let op = write.entry.op().to_string();
    let appended = i64::from(write.after.entries) + 1;
    let found = if write.after == Position::START {
        sqlx::query(
            "INSERT INTO tcc_logs (grp, id, appended, last_op, due_ms, expires_ms) VALUES (?, ?, 1, ?, ?, ?) \
             ON CONFLICT (grp, id) DO NOTHING RETURNING log",
        )
        .bind(write.group.as_str())
        .bind(write.id.to_string())
        .bind(&op)
        .bind(schedule.due)
        .bind(schedule.expires)
        .fetch_optional(&mut *db)
        .await?
    } else {
        sqlx::query(
            "UPDATE tcc_logs SET appended = ?1, last_op = ?2, \
                 due_ms     = CASE WHEN ?3 THEN due_ms     ELSE ?4 END, \
                 expires_ms = CASE WHEN ?3 THEN expires_ms ELSE ?5 END \
             WHERE grp = ?6 AND id = ?7 AND appended = ?8 AND last_op = ?9 \
               AND (expires_ms IS NULL OR expires_ms > ?10) \
             RETURNING log",
        )
        .bind(appended)
        .bind(&op)
        .bind(schedule.keep)
        .bind(schedule.due)
        .bind(schedule.expires)
        .bind(write.group.as_str())
        .bind(write.id.to_string())
        .bind(i64::from(write.after.entries))
        .bind(write.after.op.to_string())
        .bind(now)
        .fetch_optional(&mut *db)
        .await?
    };
    let Some(row) = found else { return Ok(false) };
    let log: i64 = row.try_get(0)?;
    if write.mode == Mode::Replace {
        sqlx::query("DELETE FROM tcc_entries WHERE log = ?").bind(log).execute(&mut *db).await?;
    }
    insert_entry(db, log, appended, &op, write.entry.line()).await?;
    Ok(true)
}

async fn insert_entry(
    db: &mut SqliteConnection,
    log: i64,
    n: i64,
    op: &str,
    line: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO tcc_entries (log, n, op, line) VALUES (?, ?, ?, ?)")
        .bind(log)
        .bind(n)
        .bind(op)
        .bind(line)
        .execute(db)
        .await?;
    Ok(())
}

/// Where a log ends.
enum End {
    At(Position),
    Missing,
    /// It is there, and its retention has passed.
    Expired,
    /// It is there, and its end can't be read.
    Damaged,
}

async fn end(db: &mut SqliteConnection, write: &Append, now: i64) -> Result<End, sqlx::Error> {
    let row: Option<(i64, String, Option<i64>)> =
        sqlx::query_as("SELECT appended, last_op, expires_ms FROM tcc_logs WHERE grp = ? AND id = ?")
            .bind(write.group.as_str())
            .bind(write.id.to_string())
            .fetch_optional(db)
            .await?;
    Ok(match row {
        None => End::Missing,
        Some((_, _, Some(expires))) if expires <= now => End::Expired,
        Some((appended, op, _)) => match (u32::try_from(appended), op.parse()) {
            (Ok(entries), Ok(op)) => End::At(Position { entries, op }),
            _ => End::Damaged,
        },
    })
}

async fn remove(db: &mut SqliteConnection, write: &Append) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM tcc_entries WHERE log = (SELECT log FROM tcc_logs WHERE grp = ? AND id = ?)")
        .bind(write.group.as_str())
        .bind(write.id.to_string())
        .execute(&mut *db)
        .await?;
    sqlx::query("DELETE FROM tcc_logs WHERE grp = ? AND id = ?")
        .bind(write.group.as_str())
        .bind(write.id.to_string())
        .execute(&mut *db)
        .await?;
    Ok(())
}

/// Hands out what is due.
pub(super) async fn claim(db: &mut SqliteConnection, claim: &Claim) -> Result<Claimed, sqlx::Error> {
    let now = clock::read(db).await?;
    let lease_end = clock::after(now, claim.lease);
    let op = claim.entry.op().to_string();
    let mut claimed = Claimed::default();
    let due: Vec<(i64, String, i64, String)> = sqlx::query_as(
        "SELECT log, id, appended, last_op FROM tcc_logs WHERE grp = ? AND due_ms <= ? ORDER BY due_ms, id LIMIT ?",
    )
    .bind(claim.group.as_str())
    .bind(now)
    .bind(limit(claim.limit))
    .fetch_all(&mut *db)
    .await?;
    // What is due next beside these: asked before they are moved, lest a short lease makes one of them the next.
    let next: Option<i64> = sqlx::query_scalar(
        "SELECT due_ms FROM tcc_logs WHERE grp = ? AND due_ms IS NOT NULL ORDER BY due_ms, id LIMIT 1 OFFSET ?",
    )
    .bind(claim.group.as_str())
    .bind(due.len() as i64)
    .fetch_optional(&mut *db)
    .await?;
    claimed.next_due = next.map(|due| clock::span(due - now));
    for (log, id, appended, last_op) in due {
        let id: TxId = id.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        match load::entries(db, log, appended, &last_op).await? {
            Ok(mut read) if appended < i64::from(u32::MAX) => {
                insert_entry(db, log, appended + 1, &op, claim.entry.line()).await?;
                sqlx::query("UPDATE tcc_logs SET appended = ?, last_op = ?, due_ms = ? WHERE log = ?")
                    .bind(appended + 1)
                    .bind(&op)
                    .bind(lease_end)
                    .bind(log)
                    .execute(&mut *db)
                    .await?;
                read.push(claim.entry.clone());
                claimed.logs.push((id, read));
                continue;
            }
            Ok(_) => claimed.unreadable.push(Unreadable { id, why: "it is full".into() }),
            Err(why) => claimed.unreadable.push(Unreadable { id, why }),
        }
        sqlx::query("UPDATE tcc_logs SET due_ms = ? WHERE log = ?")
            .bind(lease_end)
            .bind(log)
            .execute(&mut *db)
            .await?;
    }
    Ok(claimed)
}

/// Removes logs whose retention has passed, and says how many.
pub(super) async fn sweep(db: &mut SqliteConnection, at_most: usize) -> Result<usize, sqlx::Error> {
    let now = clock::read(db).await?;
    sqlx::query(
        "DELETE FROM tcc_entries WHERE log IN \
         (SELECT log FROM tcc_logs WHERE expires_ms <= ? ORDER BY expires_ms, log LIMIT ?)",
    )
    .bind(now)
    .bind(limit(at_most))
    .execute(&mut *db)
    .await?;
    let swept = sqlx::query(
        "DELETE FROM tcc_logs WHERE log IN \
         (SELECT log FROM tcc_logs WHERE expires_ms <= ? ORDER BY expires_ms, log LIMIT ?)",
    )
    .bind(now)
    .bind(limit(at_most))
    .execute(&mut *db)
    .await?;
    Ok(usize::try_from(swept.rows_affected()).unwrap_or(usize::MAX))
}

/// A limit as SQLite takes it.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
