//! Two generations of an application on one store: what one does not know, it leaves to the other.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tcc_core::protocol::{
    Begin, BranchId, BranchState, Change, Entry, Group, Name, Op, Owner, Phase, Position, Status, TxId,
};
use tcc_core::store::{Append, Due, Mode, StatusStore};
use tcc_core::{
    ActionType, Branch, BranchError, Coordinator, Handler, Never, OperatorError, Registry, Service, Settled,
    TransactionError, Tried, Tx,
};
use tokio::time::Instant;

use crate::rig::{Counting, settled};

/// What is put back is due again within this: the backoff's cap, which is longer than two leases.
const BOUND: Duration = Duration::from_secs(60);

struct Reserve<const VERSION: u16>;
impl<const VERSION: u16> ActionType for Reserve<VERSION> {
    const NAME: &'static str = "inventory.reserve";
    const VERSION: u16 = VERSION;
    type Request = u32;
    type Output = u32;
    type Error = Never;
}

struct Wrap;
impl ActionType for Wrap {
    const NAME: &'static str = "gift.wrap";
    type Request = u32;
    type Output = u32;
    type Error = Never;
}

/// By which generation, of which transaction, which action was settled.
type Calls = Arc<Mutex<Vec<(u8, TxId, String)>>>;

/// One service, in two generations; remembers what was asked, over both.
struct Shop {
    generation: u8,
    settled: Calls,
}

impl Shop {
    fn note(&self, cx: &Branch, action: String) {
        self.settled.lock().unwrap().push((self.generation, cx.tx(), action));
    }
}

impl<A: ActionType<Request = u32, Output = u32, Error = Never>> Handler<A> for Shop {
    async fn r#try(&self, _: &Branch, n: u32) -> Tried<u32, Never> {
        Ok(n)
    }
    async fn confirm(&self, cx: &Branch, _: u32, _: u32) -> Settled {
        self.note(cx, format!("{} v{}", A::NAME, A::VERSION));
        Ok(())
    }
    async fn cancel(&self, cx: &Branch, _: u32, _: Option<u32>) -> Settled {
        self.note(cx, format!("{} v{}", A::NAME, A::VERSION));
        Ok(())
    }
}

impl Service for Shop {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Reserve<1>, _>(self.clone());
        if self.generation == 2 {
            registry.add::<Reserve<2>, _>(self.clone());
            registry.add::<Wrap, _>(self);
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Branch(#[from] BranchError<Never>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

#[derive(Default)]
struct Group2 {
    store: Arc<Counting>,
    settled: Calls,
}

impl Group2 {
    async fn start(&self, generation: u8) -> Coordinator {
        let shop = Shop { generation, settled: self.settled.clone() };
        Coordinator::builder("test", self.store.clone()).register(shop).start().await.unwrap()
    }

    /// Of this transaction: by which generation each of its branches was settled, in order.
    fn settled(&self, id: TxId) -> Vec<(u8, String)> {
        let all = self.settled.lock().unwrap();
        all.iter().filter(|(_, tx, ..)| *tx == id).map(|(by, _, action)| (*by, action.clone())).collect()
    }

    /// How many entries the log of a transaction has, and how many it ever had.
    async fn entries(&self, id: TxId) -> (usize, u32) {
        let log = self.store.read(&Group::new("test").unwrap(), id).await.unwrap().unwrap();
        (log.entries().len(), log.position().entries)
    }

    /// A transaction of generation 2 with one branch that generation 1 knows, decided, whose coordinator is gone before it
    /// has asked any of them.
    async fn abandoned(&self) -> TxId {
        let shop = Shop { generation: 2, settled: Arc::default() };
        let store = self.store.clone();
        let left = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let id = runtime.block_on(async move {
                let decided = Arc::new(tokio::sync::Notify::new());
                let store = LastWord { store, decided: decided.clone() };
                let tcc = Coordinator::builder("test", store).register(shop).start().await.unwrap();
                let id = Arc::new(Mutex::new(None));
                let seen = id.clone();
                let body = async |tx: &Tx| {
                    *seen.lock().unwrap() = Some(tx.id());
                    tx.call::<Reserve<1>>(1).await?;
                    tx.call::<Reserve<2>>(2).await?;
                    tx.call::<Wrap>(3).await?;
                    Ok::<_, Error>(())
                };
                tokio::select! {
                    told = tcc.run("checkout", body) => panic!("the answer to its decision never comes: {told:?}"),
                    () = decided.notified() => {}
                }
                id.lock().unwrap().unwrap()
            });
            runtime.shutdown_background();
            id
        });
        left.join().unwrap()
    }
}

/// A store whose answer to a decision never comes: its coordinator dies there.
struct LastWord {
    store: Arc<Counting>,
    decided: Arc<tokio::sync::Notify>,
}

#[async_trait::async_trait]
impl StatusStore for LastWord {
    async fn append(&self, write: &tcc_core::store::Append) -> Result<(), tcc_core::store::StoreError> {
        let answer = self.store.append(write).await;
        if write.entry.line().contains(r#""decide""#) {
            self.decided.notify_one();
            std::future::pending::<()>().await;
        }
        answer
    }
    async fn claim(
        &self,
        _: &tcc_core::store::Claim,
    ) -> Result<tcc_core::store::Claimed, tcc_core::store::StoreError> {
        Ok(tcc_core::store::Claimed::default())
    }
    async fn read(
        &self,
        group: &Group,
        id: TxId,
    ) -> Result<Option<tcc_core::protocol::Log>, tcc_core::store::StoreError> {
        self.store.read(group, id).await
    }
    async fn list(
        &self,
        query: &tcc_core::store::Query,
    ) -> Result<tcc_core::store::Page, tcc_core::store::StoreError> {
        self.store.list(query).await
    }
    async fn stats(&self, group: &Group) -> Result<tcc_core::store::Stats, tcc_core::store::StoreError> {
        self.store.stats(group).await
    }
    async fn check(&self) -> Result<tcc_core::store::Readiness, tcc_core::store::StoreError> {
        Ok(tcc_core::store::Readiness::default())
    }
}

/// Waits until one branch of it is settled in the log.
async fn first_is_settled(tcc: &Coordinator, id: TxId) {
    for _ in 0..1_000 {
        let record = tcc.operator().timeline(id).await.unwrap().unwrap().record.unwrap();
        if record.branches()[0].state == BranchState::Confirmed {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{id}: its first branch is not settled");
}

#[tokio::test(start_paused = true)]
async fn peers_23_what_is_unknown_is_put_back_and_named_and_the_rest_is_settled() {
    let group = Group2::default();
    let id = group.abandoned().await;
    let one = group.start(1).await;
    assert_eq!(one.operator().unknown_actions(), []);
    first_is_settled(&one, id).await;
    assert_eq!(group.settled(id), [(1, "inventory.reserve v1".to_owned())]);

    let unknown = one.operator().unknown_actions();
    let names: Vec<_> =
        unknown.iter().map(|u| (u.action.as_str(), u.version, u.transactions, u.times)).collect();
    assert_eq!(names, [("gift.wrap", 1, 1, 1), ("inventory.reserve", 2, 1, 1)]);
    let timeline = one.operator().timeline(id).await.unwrap().unwrap();
    let said = &timeline.events.last().unwrap().what;
    assert!(
        said.contains(
            "branch 1 failed 1 times: inventory.reserve version 2 is unknown here: deploy an instance"
        ),
        "{said}"
    );
    let branches = timeline.record.unwrap();
    let error = branches.branches()[2].last_error.clone().unwrap();
    assert!(error.starts_with("gift.wrap version 1 is unknown here"), "{error}");

    // The other generation comes while the first still runs.
    let two = group.start(2).await;
    let came = Instant::now();
    assert_eq!(settled(&two, id).await, Some(Status::Confirmed));
    assert!(came.elapsed() <= BOUND + Duration::from_secs(1), "{:?}", came.elapsed());
    let mut by = group.settled(id);
    by.sort();
    let all = [(1, "inventory.reserve v1"), (2, "gift.wrap v1"), (2, "inventory.reserve v2")];
    assert_eq!(by, all.map(|(by, action)| (by, action.to_owned())));
}

/// As long as nobody knows it: the log stays short, and is written to seldom, whatever else the participant does.
#[tokio::test(start_paused = true)]
async fn what_nobody_knows_costs_little_for_ever() {
    for traffic in [false, true] {
        let group = Group2::default();
        let id = group.abandoned().await;
        let instances = [group.start(1).await, group.start(1).await];
        first_is_settled(&instances[0], id).await;
        for _ in 0..6 * 3600 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if traffic {
                let body = async |tx: &Tx| tx.call::<Reserve<1>>(1).await.map(drop).map_err(Error::from);
                instances[0].run("other", body).await.unwrap();
            }
            let (now, _) = group.entries(id).await;
            assert!(now <= 66, "{now} entries, traffic: {traffic}");
        }
        let (_, ever) = group.entries(id).await;
        // Never twice within a lease, and each time two entries: a claim and a failure.
        assert!((6 * 60..=2 * 6 * 360).contains(&ever), "{ever} entries in six hours, traffic: {traffic}");
        let times: u64 = instances.iter().map(|one| one.operator().unknown_actions()[0].times).sum();
        assert_eq!(u64::from(ever / 2), times + 2, "begin, two enlists and the decision, then pairs");
        assert_eq!(instances[0].outcome(id).await.unwrap(), Some(Status::Confirming));

        let two = group.start(2).await;
        let came = Instant::now();
        assert_eq!(settled(&two, id).await, Some(Status::Confirmed));
        assert!(came.elapsed() <= BOUND + Duration::from_secs(1), "{:?}, traffic: {traffic}", came.elapsed());
    }
}

/// Who does not know what it has put back lets the others go first. By chance alone, half of these would meet the wrong
/// one once more.
#[tokio::test(start_paused = true)]
async fn those_who_know_an_action_are_faster_than_those_who_do_not() {
    let group = Group2::default();
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(group.abandoned().await);
    }
    let one = group.start(1).await;
    for id in &ids {
        first_is_settled(&one, *id).await;
    }
    let two = group.start(2).await;
    for id in &ids {
        assert_eq!(settled(&two, *id).await, Some(Status::Confirmed));
    }
    let unknown = one.operator().unknown_actions();
    assert!(unknown.iter().all(|unknown| (unknown.transactions, unknown.times) == (20, 20)), "{unknown:?}");
}

/// With a long lease, too, the wait for those who know more is a courtesy of seconds: what this instance may well settle
/// is due meanwhile (liveness 2).
#[tokio::test(start_paused = true)]
async fn the_courtesy_to_those_who_know_more_is_short_however_long_the_lease() {
    let group = Group2::default();
    let unknown = group.abandoned().await;
    let left = TxId::from_time(1, [7; 10]);
    let begin = Change::Begin(Begin {
        name: Name::new("pay").unwrap(),
        begun_ms: 0,
        timeout_ms: 60_000,
        by: Owner::from_u64(1),
        key: None,
        run: None,
        traceparent: None,
        branches: Vec::new(),
    });
    let write = Append {
        group: Group::new("test").unwrap(),
        id: left,
        after: Position::START,
        entry: Entry::new(Op::from_u64(1), begin.encode()).unwrap(),
        due: Due::In(Duration::from_secs(60)),
        mode: Mode::Extend,
    };
    group.store.append(&write).await.unwrap();
    let began = Instant::now();
    let shop = Shop { generation: 1, settled: group.settled.clone() };
    let lease = Duration::from_secs(3600);
    let one =
        Coordinator::builder("test", group.store.clone()).register(shop).lease(lease).start().await.unwrap();
    first_is_settled(&one, unknown).await;
    assert!(began.elapsed() < Duration::from_secs(60), "it has met what it does not know");
    assert_eq!(settled(&one, left).await, Some(Status::Cancelled));
    assert!(
        began.elapsed() < Duration::from_secs(70),
        "due after 60 s, cancelled after {:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn what_nobody_will_ever_settle_is_refused_and_resolved_by_an_operator() {
    let group = Group2::default();
    let id = group.abandoned().await;
    let one = group.start(1).await;
    let operator = one.operator();
    let (reserve, wrap) = (BranchId::new(1), BranchId::new(2));
    let early = operator.refuse(id, wrap, "ada", "gone").await;
    assert!(matches!(early, Err(OperatorError::NotFailed { .. })), "{early:?}");
    first_is_settled(&one, id).await;
    let settled = operator.refuse(id, BranchId::new(0), "ada", "gone").await;
    assert!(matches!(settled, Err(OperatorError::Illegal { .. })), "{settled:?}");
    assert!(matches!(operator.refuse(id, wrap, "ada", "").await, Err(OperatorError::Unsigned)));

    operator.refuse(id, wrap, "ada", "nobody wraps gifts any more").await.unwrap();
    assert_eq!(one.outcome(id).await.unwrap(), Some(Status::Confirming));
    operator.refuse(id, reserve, "ada", "the warehouse is sold").await.unwrap();
    assert_eq!(one.outcome(id).await.unwrap(), Some(Status::Heuristic));
    assert_eq!(operator.stats().await.unwrap().kept, 1);
    let record = operator.timeline(id).await.unwrap().unwrap().record.unwrap();
    let BranchState::Refused { phase, why } = &record.branches()[2].state else { panic!("{record:?}") };
    assert_eq!(phase.phase(), Phase::Confirm);
    assert_eq!(why, "by ada, for its participant: nobody wraps gifts any more");
    for branch in [reserve, wrap] {
        operator.resolve(id, branch, "ada", "refunded by hand").await.unwrap();
    }
    assert_eq!(one.outcome(id).await.unwrap(), Some(Status::Confirmed));
}
