//! The code of README.md's chapter on stores, with the rest of a whole store around it: it keeps the contract.

use std::sync::Arc;

use async_trait::async_trait;
use tcc_core::testing::{StoreFixture, store_suite};

// The imports beside those of README.md.
use tcc_core::store::{
    Claim, Claimed, Cursor, DueAge, Listed, Page, Query, Readiness, Select, Stats, StatusStore,
};

include!("append.in");

#[test]
fn it_is_the_code_of_the_readme() {
    let [readme, code] = [include_str!("../../../../README.md"), include_str!("append.in")];
    assert!(readme.contains(code), "README.md shows another append than append.in");
}

/// What is unfinished or kept, the most overdue first.
impl Mine {
    fn index(&self, group: &Group, select: Select) -> Vec<(Duration, TxId, Log)> {
        let logs = self.logs.lock().unwrap();
        let is = |kept: &Kept| kept.gone.is_none() && kept.due.is_some() == (select == Select::Unfinished);
        let all = logs.iter().filter(|((of, _), kept)| of == group && is(kept));
        let of =
            |((_, id), kept): (&(Group, TxId), &Kept)| (kept.due.unwrap_or_default(), *id, kept.log.clone());
        let mut all: Vec<_> = all.map(of).collect();
        all.sort_by_key(|(at, id, _)| (*at, *id));
        all
    }
}

#[async_trait]
impl StatusStore for Mine {
    async fn append(&self, write: &Append) -> Result<(), StoreError> {
        Mine::append(self, write)
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let (now, mut claimed) = (self.start.elapsed(), Claimed::default());
        for (at, id, mut log) in self.index(&claim.group, Select::Unfinished) {
            if at > now || claimed.logs.len() == claim.limit {
                claimed.next_due = Some(at.saturating_sub(now));
                break;
            }
            let (group, entry, after) = (claim.group.clone(), claim.entry.clone(), log.position());
            log.push(entry.clone());
            let (due, mode) = (Due::In(claim.lease), Mode::Extend);
            // Another may have claimed it meanwhile: then the position has moved.
            if Mine::append(self, &Append { group, id, after, entry, due, mode }).is_ok() {
                claimed.logs.push((id, log));
            }
        }
        Ok(claimed)
    }

    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError> {
        let (logs, now) = (self.logs.lock().unwrap(), self.start.elapsed());
        let kept = logs.get(&(group.clone(), id)).filter(|kept| kept.gone.is_none_or(|at| at > now));
        Ok(kept.map(|kept| kept.log.clone()))
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        let place = |Cursor(text): &Cursor| {
            let (nanos, id) = text.split_once('-')?;
            Some((Duration::from_nanos(nanos.parse().ok()?), id.parse::<TxId>().ok()?))
        };
        let after = match &query.cursor {
            None => None,
            Some(cursor) => Some(place(cursor).ok_or(StoreError::BadCursor)?),
        };
        let (mut page, mut last, now) = (Page::default(), None, self.start.elapsed());
        for (at, id, log) in self.index(&query.group, query.select) {
            if after.is_some_and(|after| (at, id) <= after) {
                continue;
            }
            if page.items.len() >= query.limit.max(1) {
                page.next = last.map(|(at, id): (Duration, TxId)| Cursor(format!("{}-{id}", at.as_nanos())));
                break;
            }
            let due = match query.select {
                Select::Kept => DueAge::Never,
                Select::Unfinished => {
                    now.checked_sub(at).map_or_else(|| DueAge::In(at - now), DueAge::Overdue)
                }
            };
            last = Some((at, id));
            page.items.push(Listed { id, log, due });
        }
        Ok(page)
    }

    async fn stats(&self, group: &Group) -> Result<Stats, StoreError> {
        let [unfinished, kept] = [Select::Unfinished, Select::Kept].map(|select| self.index(group, select));
        let now = self.start.elapsed();
        let most_overdue = unfinished.first().and_then(|(at, ..)| now.checked_sub(*at));
        Ok(Stats { unfinished: unfinished.len() as u64, kept: kept.len() as u64, most_overdue })
    }

    async fn check(&self) -> Result<Readiness, StoreError> {
        Ok(Readiness::default())
    }
}

struct Fixture(Arc<Mine>);

#[async_trait]
impl StoreFixture for Fixture {
    type Store = Arc<Mine>;

    async fn start() -> Self {
        Self(Arc::new(Mine { logs: Mutex::default(), start: tokio::time::Instant::now() }))
    }

    async fn open(&self) -> Arc<Mine> {
        self.0.clone()
    }
}

store_suite!(Fixture, start_paused = true);
