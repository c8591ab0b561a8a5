//! Keeping a fence's table small, all the time.

use std::time::Duration;

use tcc_core::protocol::Group;
use tcc_core::store::StatusStore;
use tokio::time::MissedTickBehavior;

use super::fence_table::{CompareError, SqliteFence, ago};
use crate::fence::FenceRow;

/// How many rows are compared or purged by one statement: a participant's own work waits no longer than that.
const AT_ONCE: usize = 500;

/// How a fence is kept tidy: [`SqliteFence::keep_tidy`].
///
/// The defaults are good for transactions of seconds or minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tidy {
    /// How long to wait between two passes. An hour.
    pub every: Duration,
    /// How old a row must be for its transaction to be looked up: longer than any transaction and any lingering call takes.
    /// An hour.
    pub compare_after: Duration,
    /// How old a row must be to go: longer than the longest time limit of a transaction, the longest that a call can linger
    /// in the network, and the difference of the clocks. A day.
    pub purge_after: Duration,
}

impl Default for Tidy {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Self { every: hour, compare_after: hour, purge_after: 24 * hour }
    }
}

impl Tidy {
    /// A pass this often; the rest by default.
    pub fn every(every: Duration) -> Self {
        Self { every, ..Self::default() }
    }

    /// Looks up the transactions of rows that are older than this.
    #[must_use]
    pub fn compare_after(mut self, age: Duration) -> Self {
        self.compare_after = age;
        self
    }

    /// Lets rows go that are older than this.
    #[must_use]
    pub fn purge_after(mut self, age: Duration) -> Self {
        self.purge_after = age;
        self
    }
}

/// What one pass has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tidied {
    /// How many rows were found to be no longer needed: they go by age from now on.
    pub finished: u64,
    /// How many rows have gone.
    pub purged: u64,
    /// Tried rows without a transaction, as in [`Compared::orphans`](super::Compared::orphans): look at each.
    pub orphans: Vec<FenceRow>,
}

impl SqliteFence {
    /// One pass: [compares](Self::compare) all lasting rows that are old enough with the status store, then
    /// [purges](Self::purge) what may go by age, in small steps.
    ///
    /// Dropping the future ends it after the step that is under way; nothing is half done.
    ///
    /// # Errors
    /// What the database or the store said. What was done before stays so.
    pub async fn tidy(
        &self,
        store: &(impl StatusStore + ?Sized),
        groups: &[Group],
        how: &Tidy,
    ) -> Result<Tidied, CompareError> {
        let mut tidied = Tidied::default();
        let mut after = None;
        loop {
            let page = self.compare(store, groups, how.compare_after, after.as_ref(), AT_ONCE).await?;
            tidied.finished += page.finished;
            tidied.orphans.extend(page.orphans);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let horizon = ago(how.purge_after);
        loop {
            let purged = self.purge(horizon, AT_ONCE).await?;
            tidied.purged += purged;
            if purged < AT_ONCE as u64 {
                return Ok(tidied);
            }
        }
    }

    /// Does a [pass](Self::tidy) at once and then again and again; it never returns. Spawn it beside the coordinator, with
    /// all groups whose transactions this participant serves:
    ///
    /// ```no_run
    /// # async fn run(pool: sqlx::SqlitePool, store: std::sync::Arc<tcc_sqlx::sqlite::SqliteStore>)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// # use tcc_core::protocol::Group;
    /// use tcc_sqlx::sqlite::{SqliteFence, Tidy};
    ///
    /// let (fence, groups) = (SqliteFence::new(pool), [Group::new("shop")?]);
    /// tokio::spawn(async move { fence.keep_tidy(&store, &groups, Tidy::default()).await });
    /// # Ok(()) }
    /// ```
    ///
    /// Orphans are told by `tracing::error`, at each pass until they are dealt with; a pass that fails by `tracing::warn`, and
    /// is done again after [`Tidy::every`]. Several instances may do this on one database. Dropping the future ends it.
    pub async fn keep_tidy(
        &self,
        store: &(impl StatusStore + ?Sized),
        groups: &[Group],
        how: Tidy,
    ) -> std::convert::Infallible {
        let mut passes = tokio::time::interval(how.every.max(Duration::from_millis(1)));
        passes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            passes.tick().await;
            match self.tidy(store, groups, &how).await {
                Ok(tidied) => {
                    for row in &tidied.orphans {
                        tracing::error!(
                            branch = %row.key, action = %row.action,
                            "a tried branch has no unfinished transaction: look at its effect, undo it if need be, then \
                             call `finish` with its row"
                        );
                    }
                    tracing::debug!(finished = tidied.finished, purged = tidied.purged, "a fence was tidied");
                }
                Err(error) => tracing::warn!(%error, "a fence could not be tidied; it is tried again"),
            }
        }
    }
}
