//! The frame of the conformance suite: what a store author gives, and what a case does with it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::hooks::{Given, Hook, Hooks};
pub(super) use super::promise::{Broken, Promise};
use crate::protocol::{Entry, Group, Log, Op, Position, TxId};
use crate::store::{Append, Claim, Claimed, Due, Mode, Page, Query, Select, StatusStore};

/// What a store's author gives the suite: a way to the store.
#[async_trait]
pub trait StoreFixture: Send + Sync + 'static {
    /// The store.
    type Store: StatusStore;

    /// How many logs *many* are: 1000, unless that takes your store too long.
    const MANY: usize = 1_000;

    /// Starts a store. Each case starts its own and works in a group of its own, so the stores of several cases may
    /// be one server; none needs to be emptied.
    async fn start() -> Self
    where
        Self: Sized;

    /// Starts a store that no other case uses at the same time: for those that move its clock or count its work.
    /// Default: as [`StoreFixture::start`].
    async fn start_alone() -> Self
    where
        Self: Sized,
    {
        Self::start().await
    }

    /// Opens another handle on the same data, as another process would. What was written through one is seen through
    /// the other, and stays when all handles are dropped, for as long as the fixture lives.
    async fn open(&self) -> Self::Store;
}

/// That the setup of a case works at all.
const SETUP: Promise = Promise::new(
    "an append at the position where the log ends is applied",
    "append if the log has exactly `after.entries` entries ever appended and ends with `after.op`, or if there is \
     none and `after` is Position::START",
);

/// An hour: a time that no case lives to see.
pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// A lease, a retention or a due time that a case waits for.
pub(super) const SOON: Duration = Duration::from_millis(300);
/// How long a case waits for what must come.
pub(super) const BOUND: Duration = Duration::from_secs(20);
/// By how much the store's clock may be coarser than the test's.
pub(super) const COARSE: Duration = Duration::from_millis(10);

/// A store under test: what a [`Case`](super::Case) is run on.
pub struct Suite {
    fixture: Arc<dyn Opener>,
    hooks: Given,
    store: Mutex<Option<Arc<dyn StatusStore>>>,
    group: Group,
    many: usize,
    /// The tail of all ids, so that suites may share a server.
    mark: u64,
    count: AtomicU64,
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite").field("group", &self.group).finish_non_exhaustive()
    }
}

#[async_trait]
trait Opener: Send + Sync {
    async fn open(&self) -> Arc<dyn StatusStore>;
}

#[async_trait]
impl<F: StoreFixture> Opener for F {
    async fn open(&self) -> Arc<dyn StatusStore> {
        Arc::new(StoreFixture::open(self).await)
    }
}

impl Suite {
    /// A suite on a store that was started, in a group of its own. Cases that need a hook can't be run on it.
    pub async fn of<F: StoreFixture>(fixture: F) -> Self {
        Self::with(fixture, Hooks::none()).await
    }

    /// A suite whose fixture has hooks.
    pub async fn with<F: StoreFixture>(fixture: F, hooks: Hooks<F>) -> Self {
        let mark = fastrand::u64(..);
        let fixture = Arc::new(fixture);
        let hooks = hooks.of(&fixture);
        let fixture: Arc<dyn Opener> = fixture;
        Self {
            hooks,
            store: Mutex::new(Some(fixture.open().await)),
            fixture,
            group: group(mark),
            many: F::MANY,
            mark,
            count: AtomicU64::new(1),
        }
    }

    pub(super) fn must_have(&self, needed: Option<Hook>, name: &str) {
        if let Some(hook) = needed {
            assert!(
                self.hooks.has(hook),
                "{name} needs the hook {hook:?}: implement it, and give it to Suite::with"
            );
        }
    }

    /// What the fixture can do behind the store's back. A case that is run has the hook that it needs.
    pub(super) fn hooks(&self) -> &Given {
        &self.hooks
    }

    /// The first handle.
    pub(super) fn store(&self) -> Arc<dyn StatusStore> {
        Arc::clone(self.handle().as_ref().expect("the handle is open but while it is reopened"))
    }

    /// Another handle on the same data.
    pub(super) async fn open(&self) -> Arc<dyn StatusStore> {
        self.fixture.open().await
    }

    /// Closes the first handle, and opens it anew.
    pub(super) async fn reopen(&self) {
        *self.handle() = None;
        let store = self.fixture.open().await;
        *self.handle() = Some(store);
    }

    fn handle(&self) -> MutexGuard<'_, Option<Arc<dyn StatusStore>>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    /// A second group in the same store.
    pub(super) fn other_group(&self) -> Group {
        group(self.mark.wrapping_add(1))
    }

    pub(super) fn many(&self) -> usize {
        self.many
    }

    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// A fresh id. Its order is neither that of the calls nor its reverse, and the same in every run.
    pub(super) fn id(&self) -> TxId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&scramble(self.next()).to_be_bytes());
        bytes[8..].copy_from_slice(&self.mark.to_be_bytes());
        TxId::from_bytes(bytes)
    }

    /// A fresh op.
    pub(super) fn op(&self) -> Op {
        Op::from_u64(scramble(self.next()))
    }

    /// A fresh entry, such as a coordinator writes.
    pub(super) fn entry(&self) -> Entry {
        let op = self.op();
        self.entry_of(op, &format!("{{\"v\":1,\"claim\":{{\"by\":\"{op}\"}}}}"))
    }

    /// A fresh entry of this text.
    pub(super) fn entry_with(&self, line: &str) -> Entry {
        self.entry_of(self.op(), line)
    }

    fn entry_of(&self, op: Op, line: &str) -> Entry {
        Entry::new(op, line).expect("the suite's lines have no line break")
    }

    /// A fresh entry to follow `after`, due in an hour.
    pub(super) fn write(&self, id: TxId, after: Position) -> Append {
        Append {
            group: self.group.clone(),
            id,
            after,
            entry: self.entry(),
            due: Due::In(HOUR),
            mode: Mode::Extend,
        }
    }

    /// A fresh entry to follow another write, due in an hour.
    pub(super) fn next_write(&self, before: &Append) -> Append {
        Append { group: before.group.clone(), ..self.write(before.id, before.after.then(before.entry.op())) }
    }

    /// The first entry of a fresh log.
    pub(super) fn first(&self, due: Due) -> Append {
        Append { due, ..self.write(self.id(), Position::START) }
    }

    /// Appends what must be applied.
    pub(super) async fn put(&self, write: &Append) -> Result<(), Broken> {
        SETUP.ok("append", self.store().append(write).await)
    }

    /// Appends all of what must be applied.
    pub(super) async fn put_all(&self, writes: &[Append]) -> Result<(), Broken> {
        self.put_all_in(writes, 100).await
    }

    /// Appends all of what must be applied, so many at once.
    pub(super) async fn put_all_in(&self, writes: &[Append], batch: usize) -> Result<(), Broken> {
        for batch in writes.chunks(batch) {
            let answers = self.store().append_all(batch).await;
            SETUP.equal("the number of answers of append_all", &answers.len(), &batch.len())?;
            for answer in answers {
                SETUP.ok("append_all", answer)?;
            }
        }
        Ok(())
    }

    /// Begins a log, and gives its first write.
    pub(super) async fn begin(&self, due: Due) -> Result<Append, Broken> {
        let first = self.first(due);
        self.put(&first).await?;
        Ok(first)
    }

    pub(super) fn claim(&self, lease: Duration, limit: usize) -> Claim {
        Claim { group: self.group.clone(), entry: self.entry(), lease, limit }
    }

    pub(super) async fn claimed(&self, lease: Duration, limit: usize) -> Result<Claimed, Broken> {
        const CLAIM: Promise = Promise::new(
            "a claim is answered with the logs that are due",
            "answer with Claimed; a log that can't be read belongs in Claimed::unreadable",
        );
        let claimed = CLAIM.ok("claim", self.store().claim(&self.claim(lease, limit)).await)?;
        CLAIM.equal("unreadable logs", &claimed.unreadable, &Vec::new())?;
        Ok(claimed)
    }

    pub(super) async fn read(&self, id: TxId) -> Result<Option<Log>, Broken> {
        const READ: Promise = Promise::new(
            "a log that was written can be read",
            "answer with the entries exactly as they were appended",
        );
        READ.ok("read", self.store().read(&self.group, id).await)
    }

    pub(super) fn query(&self, select: Select, limit: usize) -> Query {
        Query { group: self.group.clone(), select, cursor: None, limit }
    }

    pub(super) async fn page(&self, query: &Query) -> Result<Page, Broken> {
        const LIST: Promise = Promise::new(
            "a list is answered in pages",
            "take every cursor that this store gave for the same query",
        );
        let page = LIST.ok("list", self.store().list(query).await)?;
        LIST.equal("unreadable logs", &page.unreadable, &Vec::new())?;
        LIST.holds(page.items.len() <= query.limit, || {
            format!("a page of {} items where {} were asked for", page.items.len(), query.limit)
        })?;
        Ok(page)
    }

    /// All pages of a list, in one.
    pub(super) async fn listed(&self, select: Select, limit: usize) -> Result<Page, Broken> {
        const ENDS: Promise = Promise::new(
            "a list ends",
            "give a cursor that goes on behind the last item, and none on the last page",
        );
        let mut query = self.query(select, limit);
        let mut all = Page::default();
        for _ in 0..10_000 {
            let page = self.page(&query).await?;
            all.items.extend(page.items);
            match page.next {
                None => return Ok(all),
                next => query.cursor = next,
            }
        }
        Err(ENDS.broken("10000 pages, and still a next one"))
    }
}

fn group(mark: u64) -> Group {
    Group::new(format!("suite-{mark:016x}")).expect("hexadecimal digits make a group's name")
}

/// Spreads consecutive numbers over all (the finaliser of SplitMix64).
const fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Looks again and again until something is found, for [`BOUND`] at most.
pub(super) async fn eventually<T>(
    mut look: impl AsyncFnMut() -> Result<Option<T>, Broken>,
) -> Result<Option<T>, Broken> {
    let begun = tokio::time::Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(Some(found));
        }
        if begun.elapsed() > BOUND {
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
