//! dtmrs, in the two ways in which it can be used without a server of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use dtmrs::server::api::{Api, RegisterBranch};
use dtmrs::server::driver::Driver;
use dtmrs::server::registry::Registry;
use dtmrs::{BranchCtx, BranchResult, Embedded, Store};
use tokio::sync::Notify;

use crate::drive::Work;
use crate::message::Mode;

/// Transactions of two sequential branches that do nothing, like those of the framework that it is compared with.
///
/// A call returns, as there, when the decision is durable and each branch had its first attempt. dtmrs returns from
/// `submit` before that, and has no other way to wait than to poll every 20 ms, so the last confirm wakes its caller. What
/// dtmrs writes after the last confirm nobody waits for.
#[derive(Clone)]
pub(crate) struct Peer {
    dtmrs: Dtmrs,
    callers: Arc<Callers>,
}

#[derive(Clone)]
enum Dtmrs {
    Embedded(Arc<Embedded>),
    Inline { api: Api, store: Store },
}

/// The most callers of a turn.
const MOST: usize = 1024;
/// How long a submitted transaction may take to be confirmed.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(30);
/// How many connections dtmrs opens to a SQL database (`DTMRS_DB_POOL`, its default).
const POOL: usize = 32;

const CONFIRM: &str = "local://take.confirm";
const CANCEL: &str = "local://take.cancel";
/// Some 64 bytes.
const REQUEST: &str = r#"{"sku":"apple","amount":3,"order":"0123456789abcdef0123456789a"}"#;

impl Peer {
    pub(crate) async fn start(mode: Mode, url: &str, full: bool) -> anyhow::Result<Self> {
        let callers = Arc::new(Callers::new());
        let dtmrs = match mode {
            Mode::Embedded => {
                let confirming = callers.clone();
                let embedded = Embedded::builder(url)
                    .tick(Duration::from_millis(1))
                    .handler("take.confirm", move |cx| confirm(confirming.clone(), cx))
                    .handler("take.cancel", |_| async { BranchResult::Success })
                    .start()
                    .await
                    .context("dtmrs did not start")?;
                if full {
                    synchronous_full(embedded.store()).await?;
                }
                Dtmrs::Embedded(Arc::new(embedded))
            }
            Mode::Inline => {
                let store = Store::open(url).await.context("dtmrs could not open its store")?;
                if full {
                    synchronous_full(&store).await?;
                }
                let mut registry = Registry::new();
                let confirming = callers.clone();
                registry.register("take.confirm", move |cx| confirm(confirming.clone(), cx));
                registry.register("take.cancel", |_| async { BranchResult::Success });
                let driver = Driver::new(store.clone(), format!("bench-{}", std::process::id()));
                let driver = driver.with_registry(Arc::new(registry));
                Dtmrs::Inline { api: Api::new(store.clone()).with_inline_driver(driver), store }
            }
        };
        Ok(Self { dtmrs, callers })
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        match self.dtmrs {
            Dtmrs::Embedded(embedded) => {
                Arc::into_inner(embedded).context("a caller still holds dtmrs")?.shutdown().await;
            }
            Dtmrs::Inline { api, store } => {
                drop(api);
                store.close().await;
            }
        }
        Ok(())
    }
}

impl Work for Peer {
    async fn once(&self, caller: usize) -> anyhow::Result<()> {
        let (gid, number) = self.callers.next(caller)?;
        match &self.dtmrs {
            Dtmrs::Embedded(embedded) => {
                let mut tx = embedded.tcc(&gid).await.context("begin")?;
                for _ in 0..2 {
                    let tried =
                        tx.try_branch_with(CONFIRM, CANCEL, REQUEST, |_| async { BranchResult::Success });
                    tried.await.context("try")?;
                }
                tx.submit().await.context("submit")?;
            }
            Dtmrs::Inline { api, .. } => {
                let failed = |error: dtmrs::server::api::ApiError| anyhow::anyhow!("{error:?}");
                api.prepare(&gid, "tcc", &[], "", None).await.map_err(failed).context("begin")?;
                for branch in ["01", "02"] {
                    let branch = RegisterBranch {
                        gid: gid.clone(),
                        branch_id: branch.to_owned(),
                        confirm: CONFIRM.to_owned(),
                        cancel: CANCEL.to_owned(),
                        data: REQUEST.to_owned(),
                        ..RegisterBranch::default()
                    };
                    api.register_branch(&branch).await.map_err(failed).context("enlist")?;
                }
                api.submit(&gid, "tcc", &[]).await.map_err(failed).context("submit")?;
            }
        }
        tokio::time::timeout(CONFIRMED_WITHIN, self.callers.confirmed(caller, number))
            .await
            .with_context(|| format!("{gid} was not confirmed within {CONFIRMED_WITHIN:?}"))
    }
}

async fn confirm(callers: Arc<Callers>, cx: BranchCtx) -> BranchResult {
    if cx.branch_id == "02" {
        callers.wake(&cx.gid);
    }
    BranchResult::Success
}

/// dtmrs sets `synchronous=NORMAL` on each connection; this sets it to FULL, as the framework's own store has it.
async fn synchronous_full(store: &Store) -> anyhow::Result<()> {
    let pool = store.pool().context("only a SQL store has a pool")?;
    let mut held = Vec::new();
    for _ in 0..POOL {
        let mut connection = pool.acquire().await.context("a connection of the pool")?;
        sqlx::query("PRAGMA synchronous=FULL")
            .execute(&mut *connection)
            .await
            .context("PRAGMA synchronous")?;
        held.push(connection);
    }
    Ok(())
}

/// Who waits for which of his transactions to be confirmed.
struct Callers(Vec<Caller>);

#[derive(Default)]
struct Caller {
    begun: AtomicU64,
    confirmed: AtomicU64,
    changed: Notify,
}

impl Callers {
    fn new() -> Self {
        Self((0..MOST).map(|_| Caller::default()).collect())
    }

    /// The id of a caller's next transaction, and its number.
    fn next(&self, caller: usize) -> anyhow::Result<(String, u64)> {
        let state = self.0.get(caller).with_context(|| format!("at most {MOST} callers are known here"))?;
        let number = state.begun.fetch_add(1, Ordering::Relaxed) + 1;
        Ok((format!("bench-{caller}-{number}"), number))
    }

    fn wake(&self, gid: &str) {
        let mut parts = gid.rsplit('-');
        let mut part = || parts.next()?.parse::<u64>().ok();
        if let (Some(number), Some(caller)) = (part(), part())
            && let Some(state) = usize::try_from(caller).ok().and_then(|caller| self.0.get(caller))
        {
            state.confirmed.fetch_max(number, Ordering::Release);
            state.changed.notify_one();
        }
    }

    async fn confirmed(&self, caller: usize, number: u64) {
        while self.0[caller].confirmed.load(Ordering::Acquire) < number {
            self.0[caller].changed.notified().await;
        }
    }
}
