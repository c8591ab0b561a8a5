//! Pages of what is unfinished or kept.

use sqlx::SqliteConnection;

use tcc_core::protocol::TxId;
use tcc_core::store::{Cursor, DueAge, Listed, Page, Query, Select, StoreError, Unreadable};

use super::{clock, load, write};

/// Where a page ended.
pub(super) struct Place {
    due: i64,
    id: TxId,
}

impl Place {
    fn write(&self, select: Select) -> Cursor {
        Cursor(match select {
            Select::Unfinished => format!("due-{}-{}", self.due, self.id),
            Select::Kept => format!("kept-{}", self.id),
        })
    }

    pub(super) fn parse(cursor: &str, select: Select) -> Result<Self, StoreError> {
        let place = match select {
            Select::Unfinished => cursor
                .strip_prefix("due-")
                .and_then(|rest| rest.rsplit_once('-'))
                .and_then(|(due, id)| Some(Self { due: due.parse().ok()?, id: id.parse().ok()? })),
            Select::Kept => {
                cursor.strip_prefix("kept-").and_then(|id| Some(Self { due: 0, id: id.parse().ok()? }))
            }
        };
        place.ok_or(StoreError::BadCursor)
    }
}

/// One page, inside a transaction.
pub(super) async fn page(
    db: &mut SqliteConnection,
    query: &Query,
    after: Option<Place>,
) -> Result<Page, sqlx::Error> {
    let now: i64 = sqlx::query_scalar("SELECT ms FROM tcc_now").fetch_one(&mut *db).await?;
    // One more than asked for, to know whether there is a next page.
    let limit = query.limit.max(1);
    let wanted = write::limit(limit).saturating_add(1);
    let (due, id) = after.map_or((i64::MIN, String::new()), |place| (place.due, place.id.to_string()));
    let mut rows: Vec<(i64, String, i64, String, Option<i64>)> = match query.select {
        Select::Unfinished => {
            sqlx::query_as(
                "SELECT log, id, appended, last_op, due_ms FROM tcc_logs \
                 WHERE grp = ? AND due_ms IS NOT NULL AND (due_ms, id) > (?, ?) ORDER BY due_ms, id LIMIT ?",
            )
            .bind(query.group.as_str())
            .bind(due)
            .bind(id)
            .bind(wanted)
            .fetch_all(&mut *db)
            .await?
        }
        Select::Kept => {
            sqlx::query_as(
                "SELECT log, id, appended, last_op, due_ms FROM tcc_logs \
                 WHERE grp = ? AND due_ms IS NULL AND expires_ms IS NULL AND id > ? ORDER BY id LIMIT ?",
            )
            .bind(query.group.as_str())
            .bind(id)
            .bind(wanted)
            .fetch_all(&mut *db)
            .await?
        }
    };
    let more = rows.len() > limit;
    rows.truncate(limit);
    let mut page = Page::default();
    for (log, id, appended, last_op, due) in rows {
        let id: TxId = id.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        page.next = more.then(|| Place { due: due.unwrap_or(0), id }.write(query.select));
        let age = match due {
            None => DueAge::Never,
            Some(due) if due > now => DueAge::In(clock::span(due - now)),
            Some(due) => DueAge::Overdue(clock::span(now - due)),
        };
        match load::entries(db, log, appended, &last_op).await? {
            Ok(log) => page.items.push(Listed { id, log, due: age }),
            Err(why) => page.unreadable.push(Unreadable { id, why }),
        }
    }
    Ok(page)
}
