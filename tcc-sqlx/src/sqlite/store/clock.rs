//! The store's clock.
//!
//! It is the host's clock, as SQLite reads it, in milliseconds; all processes that share the file share the host. A
//! host's clock can be set back. Then every due time would lie in the future by as much, and nothing would be claimed
//! for so long. So the file keeps the latest time that was seen, and by how much the store's clock is ahead of the
//! host's: it goes on from where it was, and never goes back.
//!
//! A clock that is set *ahead* can't be told from a machine that was asleep: leases end early, which the positions of
//! the logs make harmless, and tombstones go early.

use std::time::Duration;

use sqlx::SqliteConnection;

/// How far the time that was seen may lag behind: so much is lost at most when the clock is set back, and a write of
/// it is saved in most transactions.
const SEEN_LAG_MS: i64 = 1000;

/// The time, inside a transaction that writes.
pub(super) async fn read(db: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let (host, ahead, seen): (i64, i64, i64) = sqlx::query_as(
        "SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER), ahead_ms, seen_ms FROM tcc_clock",
    )
    .fetch_one(&mut *db)
    .await?;
    let now = host.saturating_add(ahead);
    if now < seen {
        sqlx::query("UPDATE tcc_clock SET ahead_ms = ?")
            .bind(seen.saturating_sub(host))
            .execute(&mut *db)
            .await?;
        return Ok(seen);
    }
    if now - seen >= SEEN_LAG_MS {
        sqlx::query("UPDATE tcc_clock SET seen_ms = ?").bind(now).execute(&mut *db).await?;
    }
    Ok(now)
}

/// The time after this one by a duration: rounded up, so that nothing is due or gone too early.
pub(super) fn after(now: i64, wait: Duration) -> i64 {
    let millis = i64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
    now.saturating_add(millis)
}

/// A number of milliseconds as a duration; zero if it is negative.
pub(super) fn span(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_up_and_never_overflow() {
        assert_eq!(after(5, Duration::from_nanos(1)), 6);
        assert_eq!(after(5, Duration::from_millis(2)), 7);
        assert_eq!(after(5, Duration::MAX), i64::MAX);
        assert_eq!(span(-3), Duration::ZERO);
    }
}
