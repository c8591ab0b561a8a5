//! The SQLite fence: every cell of its table, repeats, late calls, panics, purging.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Connection, SqliteConnection, SqlitePool};
use tcc_core::protocol::{ActionName, BranchId, BranchKey, Phase, TxId};
use tcc_core::{ActionType, Branch, Handler, SettleError, Settled, Tried, TryFailure, refuse};
use tcc_sqlx::sqlite::SqliteFence;
use tcc_sqlx::{Fence, FenceError, FenceState, Fenced, Gate};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Hold {
    serial: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Short {
    available: i64,
}

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "only {} left", self.available)
    }
}

/// A participant, its database and how often each body ran.
struct Inventory {
    db: SqlitePool,
    runs: AtomicU32,
    _folder: tempfile::TempDir,
}

async fn pool(path: &std::path::Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    SqlitePoolOptions::new().max_connections(4).connect_with(options).await.unwrap()
}

impl Inventory {
    async fn new(available: i64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = pool(&folder.path().join("shop.db")).await;
        SqliteFence::new(db.clone()).migrate().await.unwrap();
        sqlx::raw_sql("CREATE TABLE stock (available INTEGER, frozen INTEGER, shipped INTEGER)")
            .execute(&db)
            .await
            .unwrap();
        sqlx::query("INSERT INTO stock VALUES (?, 0, 0)").bind(available).execute(&db).await.unwrap();
        Self { db, runs: AtomicU32::new(0), _folder: folder }
    }

    async fn stock(&self) -> (i64, i64, i64) {
        sqlx::query_as("SELECT * FROM stock").fetch_one(&self.db).await.unwrap()
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    async fn reserve(&self, cx: &Branch, pieces: i64) -> Tried<Hold, Short> {
        cx.fenced(&self.db, async |db| {
            let serial = i64::from(self.runs.fetch_add(1, Ordering::SeqCst)) + 1;
            // The effect first, the check after: a refusal must undo it.
            sqlx::query("UPDATE stock SET available = available - ?1, frozen = frozen + ?1")
                .bind(pieces)
                .execute(&mut *db)
                .await?;
            let left: i64 = sqlx::query_scalar("SELECT available FROM stock").fetch_one(&mut *db).await?;
            if left < 0 {
                return refuse(Short { available: left + pieces });
            }
            Ok(Hold { serial })
        })
        .await
    }

    async fn ship(&self, cx: &Branch, pieces: i64) -> Settled {
        cx.fenced(&self.db, async |db| {
            self.runs.fetch_add(1, Ordering::SeqCst);
            sqlx::query("UPDATE stock SET frozen = frozen - ?1, shipped = shipped + ?1")
                .bind(pieces)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }

    async fn release(&self, cx: &Branch, pieces: i64) -> Settled {
        cx.fenced(&self.db, async |db| {
            self.runs.fetch_add(1, Ordering::SeqCst);
            sqlx::query("UPDATE stock SET frozen = frozen - ?1, available = available + ?1")
                .bind(pieces)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }

    /// A confirm or cancel that has an effect, then says never.
    async fn never(&self, cx: &Branch) -> Settled {
        cx.fenced(&self.db, async |db| {
            self.runs.fetch_add(1, Ordering::SeqCst);
            sqlx::query("UPDATE stock SET shipped = 99").execute(&mut *db).await?;
            Err(SettleError::refuse("the account is closed"))
        })
        .await
    }
}

struct Reserve;

impl ActionType for Reserve {
    const NAME: &'static str = "inventory.reserve";
    type Request = i64;
    type Output = Hold;
    type Error = Short;
}

/// That this compiles is the test: the futures of `cx.fenced` are `Send` in a `Handler`.
impl Handler<Reserve> for Inventory {
    async fn r#try(&self, cx: &Branch, pieces: i64) -> Tried<Hold, Short> {
        self.reserve(cx, pieces).await
    }

    async fn confirm(&self, cx: &Branch, pieces: i64, hold: Hold) -> Settled {
        let note = format!("hold {}", hold.serial);
        cx.fenced(&self.db, async |db| {
            assert!(!note.is_empty());
            sqlx::query("UPDATE stock SET frozen = frozen - ?1, shipped = shipped + ?1")
                .bind(pieces)
                .execute(&mut *db)
                .await?;
            let _: u8 = "7".parse()?;
            Ok(())
        })
        .await
    }

    async fn cancel(&self, cx: &Branch, pieces: i64, _: Option<Hold>) -> Settled {
        self.release(cx, pieces).await
    }
}

fn key(n: u8) -> BranchKey {
    BranchKey::new(TxId::from_bytes([n; 16]), BranchId::new(1))
}

fn call(n: u8, phase: Phase) -> Branch {
    #[expect(clippy::disallowed_methods, reason = "begin times are of wall clocks")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Branch::new(key(n), ActionName::new("inventory.reserve").unwrap(), phase)
        .with_begun_ms(now.as_millis() as u64)
}

fn refused(answer: Settled) -> String {
    match answer {
        Err(SettleError::Refused(why)) => why,
        other => panic!("{other:?} is no refusal"),
    }
}

fn too_late(answer: Tried<Hold, Short>) {
    assert!(matches!(answer, Err(TryFailure::TooLate)), "{answer:?}");
}

#[tokio::test]
async fn a_try_runs_once_and_repeats_its_first_output() {
    let it = Inventory::new(5).await;
    let first = it.reserve(&call(1, Phase::Try), 5).await.unwrap();
    // PEERS 13: the stock is gone now, and the repeat is seen before the check.
    assert_eq!(it.reserve(&call(1, Phase::Try), 5).await.unwrap(), first);
    assert_eq!((it.stock().await, it.runs()), ((0, 5, 0), 1));
    it.ship(&call(1, Phase::Confirm), 5).await.unwrap();
    assert_eq!(it.reserve(&call(1, Phase::Try), 5).await.unwrap(), first, "after its confirm");
    assert_eq!((it.stock().await, it.runs()), ((0, 0, 5), 2));
}

#[tokio::test]
async fn a_confirm_runs_once() {
    let it = Inventory::new(5).await;
    it.reserve(&call(1, Phase::Try), 2).await.unwrap();
    it.ship(&call(1, Phase::Confirm), 2).await.unwrap();
    it.ship(&call(1, Phase::Confirm), 2).await.unwrap();
    assert_eq!((it.stock().await, it.runs()), ((3, 0, 2), 2));
    assert!(refused(it.release(&call(1, Phase::Cancel), 2).await).contains("confirmed"));
    assert_eq!((it.stock().await, it.runs()), ((3, 0, 2), 2));
}

#[tokio::test]
async fn a_cancel_runs_once() {
    let it = Inventory::new(5).await;
    it.reserve(&call(1, Phase::Try), 2).await.unwrap();
    it.release(&call(1, Phase::Cancel), 2).await.unwrap();
    it.release(&call(1, Phase::Cancel), 2).await.unwrap();
    assert_eq!((it.stock().await, it.runs()), ((5, 0, 0), 2));
    assert!(refused(it.ship(&call(1, Phase::Confirm), 2).await).contains("cancelled"));
    too_late(it.reserve(&call(1, Phase::Try), 2).await);
    assert_eq!((it.stock().await, it.runs()), ((5, 0, 0), 2));
}

#[tokio::test]
async fn a_cancel_before_its_try_leaves_a_mark_that_makes_the_try_too_late() {
    let it = Inventory::new(5).await;
    it.release(&call(1, Phase::Cancel), 2).await.unwrap();
    too_late(it.reserve(&call(1, Phase::Try), 2).await);
    it.release(&call(1, Phase::Cancel), 2).await.unwrap();
    assert_eq!((it.stock().await, it.runs()), ((5, 0, 0), 0));
}

#[tokio::test]
async fn a_confirm_without_a_try_is_refused_and_keeps_the_try_from_coming_later() {
    let it = Inventory::new(5).await;
    let why = refused(it.ship(&call(1, Phase::Confirm), 2).await);
    assert!(why.contains("lost"), "{why}");
    too_late(it.reserve(&call(1, Phase::Try), 2).await);
    assert_eq!(refused(it.ship(&call(1, Phase::Confirm), 2).await), why);
    assert_eq!(refused(it.release(&call(1, Phase::Cancel), 2).await), why);
    assert_eq!((it.stock().await, it.runs()), ((5, 0, 0), 0));
}

#[tokio::test]
async fn a_refused_try_is_undone_stays_refused_and_is_cancelled_all_the_same() {
    let it = Inventory::new(5).await;
    let says = |answer: Tried<Hold, Short>| match answer {
        Err(TryFailure::Refused(short)) => short,
        other => panic!("{other:?}"),
    };
    let cx = call(1, Phase::Try);
    assert_eq!(says(it.reserve(&cx, 6).await), Short { available: 5 });
    assert_eq!(it.stock().await, (5, 0, 0), "its effect is rolled back");
    sqlx::query("UPDATE stock SET available = 50").execute(&it.db).await.unwrap();
    assert_eq!(
        says(it.reserve(&cx, 6).await),
        Short { available: 5 },
        "the first refusal, though there is enough now"
    );
    assert_eq!(it.runs(), 1);
    assert!(refused(it.ship(&call(1, Phase::Confirm), 6).await).contains("refused"));
    it.release(&call(1, Phase::Cancel), 6).await.unwrap();
    it.release(&call(1, Phase::Cancel), 6).await.unwrap();
    too_late(it.reserve(&cx, 6).await);
    assert_eq!((it.stock().await, it.runs()), ((50, 0, 0), 1));
}

#[tokio::test]
async fn a_refused_settle_is_undone_and_stays_refused() {
    for phase in [Phase::Confirm, Phase::Cancel] {
        let it = Inventory::new(5).await;
        it.reserve(&call(1, Phase::Try), 2).await.unwrap();
        assert_eq!(refused(it.never(&call(1, phase)).await), "the account is closed");
        assert_eq!(it.stock().await, (3, 2, 0), "its effect is rolled back");
        // Bodies that would succeed now don't run.
        assert_eq!(refused(it.ship(&call(1, Phase::Confirm), 2).await), "the account is closed");
        assert_eq!(refused(it.release(&call(1, Phase::Cancel), 2).await), "the account is closed");
        too_late(it.reserve(&call(1, Phase::Try), 2).await);
        assert_eq!((it.stock().await, it.runs()), ((3, 2, 0), 2));
    }
}

#[tokio::test]
async fn an_on_confirm_branch_runs_without_a_try() {
    let it = Inventory::new(5).await;
    let confirm = call(1, Phase::Confirm).with_on_confirm(true);
    it.ship(&confirm, 2).await.unwrap();
    it.ship(&confirm, 2).await.unwrap();
    assert_eq!(it.runs(), 1);
    assert!(
        refused(it.release(&call(1, Phase::Cancel).with_on_confirm(true), 2).await).contains("confirmed")
    );

    it.release(&call(2, Phase::Cancel).with_on_confirm(true), 2).await.unwrap();
    assert!(refused(it.ship(&call(2, Phase::Confirm).with_on_confirm(true), 2).await).contains("cancelled"));
    assert_eq!(it.runs(), 1);

    assert_eq!(
        refused(it.never(&call(3, Phase::Confirm).with_on_confirm(true)).await),
        "the account is closed"
    );
    assert_eq!(
        refused(it.ship(&call(3, Phase::Confirm).with_on_confirm(true), 2).await),
        "the account is closed"
    );
}

#[tokio::test]
async fn what_is_unknown_leaves_nothing_behind() {
    let it = Inventory::new(5).await;
    let answer: Tried<Hold, Short> = call(1, Phase::Try)
        .fenced(&it.db, async |db| {
            sqlx::query("UPDATE stock SET available = 0").execute(&mut *db).await?;
            sqlx::query("UPDATE no_such_table SET x = 1").execute(&mut *db).await?;
            Ok(Hold { serial: 0 })
        })
        .await;
    assert!(matches!(answer, Err(TryFailure::Unknown(_))), "{answer:?}");
    assert_eq!(it.stock().await, (5, 0, 0));
    it.reserve(&call(1, Phase::Try), 2).await.unwrap();

    let later: Settled = call(1, Phase::Confirm)
        .fenced(&it.db, async |db| {
            sqlx::query("UPDATE stock SET shipped = 99").execute(&mut *db).await?;
            let _: u8 = "x".parse()?;
            Ok(())
        })
        .await;
    assert!(matches!(later, Err(SettleError::Later(_))), "{later:?}");
    it.release(&call(1, Phase::Cancel), 2).await.unwrap();
    assert_eq!(it.stock().await, (5, 0, 0));
}

#[tokio::test]
async fn a_body_that_panics_or_is_dropped_leaves_nothing_behind() {
    use futures_util::FutureExt as _;
    let it = Inventory::new(5).await;
    let cx = call(1, Phase::Try);
    for _ in 0..8 {
        // More often than the pool has connections: none may stay inside a transaction.
        let panicking = cx.fenced::<Hold, TryFailure<Short>, _>(&it.db, async |db| {
            sqlx::query("UPDATE stock SET available = 0").execute(&mut *db).await?;
            panic!("a bug")
        });
        AssertUnwindSafe(panicking).catch_unwind().await.unwrap_err();

        let (inside, is_inside) = tokio::sync::oneshot::channel();
        let hanging = cx.fenced::<Hold, TryFailure<Short>, _>(&it.db, async |db| {
            sqlx::query("UPDATE stock SET available = 0").execute(&mut *db).await?;
            inside.send(()).unwrap();
            std::future::pending().await
        });
        tokio::select! {
            biased;
            answer = hanging => panic!("{answer:?}"),
            () = is_inside.map(Result::unwrap) => {}
        }
    }
    assert_eq!(it.stock().await, (5, 0, 0));
    it.reserve(&cx, 5).await.unwrap();
    assert_eq!(it.stock().await, (0, 5, 0));
}

#[tokio::test]
async fn a_body_that_ends_the_transaction_is_found_out_and_breaks_no_connection() {
    let it = Inventory::new(5).await;
    for end in ["ROLLBACK", "COMMIT"] {
        for _ in 0..8 {
            let answer: Tried<Hold, Short> = call(1, Phase::Try)
                .fenced(&it.db, async |db| {
                    sqlx::query(end).execute(&mut *db).await?;
                    Ok(Hold { serial: 0 })
                })
                .await;
            let Err(TryFailure::Unknown(_)) = answer else { panic!("{end}: {answer:?}") };
            if end == "COMMIT" {
                break; // Its own row is there now, by its own doing.
            }
        }
    }
    it.reserve(&call(2, Phase::Try), 1).await.unwrap();
    for _ in 0..4 {
        let mut db = it.db.acquire().await.unwrap();
        assert!(!db.is_in_transaction());
        sqlx::query("BEGIN").execute(&mut *db).await.unwrap();
        sqlx::query("ROLLBACK").execute(&mut *db).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_was_broken_by_a_dropped_body_is_replaced() {
    let it = Inventory::new(5).await;
    for n in 1..=8 {
        let (inside, is_inside) = tokio::sync::oneshot::channel();
        let cx = call(n, Phase::Try);
        let hanging = cx.fenced::<Hold, TryFailure<Short>, _>(&it.db, async |db| {
            sqlx::query("ROLLBACK").execute(&mut *db).await?;
            inside.send(()).unwrap();
            std::future::pending().await
        });
        tokio::select! {
            biased;
            answer = hanging => panic!("{answer:?}"),
            answer = is_inside => answer.unwrap(),
        }
    }
    it.reserve(&call(9, Phase::Try), 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_branch_at_the_same_time_has_one_effect() {
    let it = Arc::new(Inventory::new(1000).await);
    // A second pool stands for a second process.
    let other = pool(&it._folder.path().join("shop.db")).await;
    let it2 =
        Arc::new(Inventory { db: other, runs: AtomicU32::new(0), _folder: tempfile::tempdir().unwrap() });
    for n in 1..20 {
        let tries = (0..6).map(|i| {
            let it = if i % 2 == 0 { it.clone() } else { it2.clone() };
            tokio::spawn(async move { it.reserve(&call(n, Phase::Try), 1).await.unwrap() })
        });
        let mut outputs = Vec::new();
        for tried in tries.collect::<Vec<_>>() {
            outputs.push(tried.await.unwrap());
        }
        assert!(outputs.windows(2).all(|two| two[0] == two[1]), "{outputs:?}");
        // Confirm and cancel race: one of them wins.
        let (one, two) = (it.clone(), it2.clone());
        let ship = tokio::spawn(async move { one.ship(&call(n, Phase::Confirm), 1).await });
        let release = tokio::spawn(async move { two.release(&call(n, Phase::Cancel), 1).await });
        let (ship, release) = (ship.await.unwrap(), release.await.unwrap());
        assert!(ship.is_ok() != release.is_ok(), "{ship:?} {release:?}");
    }
    assert_eq!(it.runs() + it2.runs(), 19 * 2);
    let (available, frozen, shipped) = it.stock().await;
    assert_eq!((frozen, available + shipped), (0, 1000));
}

#[tokio::test]
async fn a_handler_is_send() {
    let it = Arc::new(Inventory::new(5).await);
    tokio::spawn(async move {
        let hold = Handler::<Reserve>::r#try(&*it, &call(1, Phase::Try), 2).await.unwrap();
        Handler::<Reserve>::confirm(&*it, &call(1, Phase::Confirm), 2, hold).await.unwrap();
        Handler::<Reserve>::cancel(&*it, &call(2, Phase::Cancel), 2, None).await.unwrap();
        assert_eq!(it.stock().await, (3, 0, 2));
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_lower_step_leaves_the_transaction_to_the_user() {
    let it = Inventory::new(5).await;
    async fn reserve(it: &Inventory, cx: &Branch) -> Tried<Hold, Short> {
        let mut tx = it.db.begin_with("BEGIN IMMEDIATE").await?;
        let mark = match cx.fence(&mut *tx).await? {
            Gate::Run(mark) => mark,
            Gate::Answer(answer) => {
                tx.commit().await?;
                return answer;
            }
        };
        let serial = i64::from(it.runs.fetch_add(1, Ordering::SeqCst)) + 1;
        let answer = Ok(Hold { serial });
        mark.answered(&mut tx, &answer).await?;
        tx.commit().await?;
        answer
    }
    let cx = call(1, Phase::Try);
    assert_eq!(reserve(&it, &cx).await.unwrap(), Hold { serial: 1 });
    assert_eq!(reserve(&it, &cx).await.unwrap(), Hold { serial: 1 });
    it.release(&call(1, Phase::Cancel), 0).await.unwrap();
    too_late(reserve(&it, &cx).await);
}

#[tokio::test]
async fn misuse_is_said() {
    let it = Inventory::new(5).await;
    let answer = it.reserve(&call(1, Phase::Confirm), 1).await;
    let Err(TryFailure::Unknown(error)) = answer else { panic!("{answer:?}") };
    assert!(matches!(error.downcast_ref(), Some(FenceError::Misused { .. })), "{error}");
    assert_eq!(it.runs(), 0);

    let folder = tempfile::tempdir().unwrap();
    let bare = Inventory {
        db: pool(&folder.path().join("bare.db")).await,
        runs: AtomicU32::new(0),
        _folder: folder,
    };
    let answer = bare.reserve(&call(1, Phase::Try), 1).await;
    let Err(TryFailure::Unknown(error)) = answer else { panic!("{answer:?}") };
    assert!(error.to_string().contains("SqliteFence::new(pool).migrate()"), "{error}");
}

#[tokio::test]
async fn a_kept_output_that_does_not_fit_is_unknown_never_guessed() {
    let it = Inventory::new(5).await;
    it.reserve(&call(1, Phase::Try), 1).await.unwrap();
    sqlx::query("UPDATE tcc_fence SET output = '{\"other\":1}'").execute(&it.db).await.unwrap();
    let answer = it.reserve(&call(1, Phase::Try), 1).await;
    assert!(matches!(answer, Err(TryFailure::Unknown(_))), "{answer:?}");
    assert_eq!(it.runs(), 1);
}

fn begun(n: u8, phase: Phase, ms: u64) -> Branch {
    call(n, phase).with_begun_ms(ms)
}

fn at(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}

#[tokio::test]
async fn under_the_horizon_a_try_is_an_error_and_the_rest_is_done() {
    let it = Inventory::new(50).await;
    let fence = SqliteFence::new(it.db.clone());
    // 1: confirmed, 2: cancelled, 3: tried, 4: refused in its confirm, 5: refused in its try, 6: confirmed but younger.
    for n in 1..=4 {
        it.reserve(&begun(n, Phase::Try, 1_000), 1).await.unwrap();
    }
    it.ship(&begun(1, Phase::Confirm, 1_000), 1).await.unwrap();
    it.release(&begun(2, Phase::Cancel, 1_000), 1).await.unwrap();
    it.never(&begun(4, Phase::Confirm, 1_000)).await.unwrap_err();
    it.reserve(&begun(5, Phase::Try, 1_000), 500).await.unwrap_err();
    it.reserve(&begun(6, Phase::Try, 2_000), 1).await.unwrap();
    it.ship(&begun(6, Phase::Confirm, 2_000), 1).await.unwrap();
    let before = (it.stock().await, it.runs());

    assert_eq!(fence.purge(at(2_000), 1).await.unwrap(), 1);
    assert_eq!(fence.purge(at(2_000), 10).await.unwrap(), 1);
    assert_eq!(fence.purge(at(2_000), 10).await.unwrap(), 0);
    let left: Vec<String> = sqlx::query_scalar("SELECT substr(tx, 1, 2) FROM tcc_fence ORDER BY tx")
        .fetch_all(&it.db)
        .await
        .unwrap();
    assert_eq!(left, ["03", "04", "05", "06"], "tried and refused rows stay, and so does what is younger");

    // Repeats of what is purged, and of what never was: no effect.
    for n in [1, 2, 7] {
        assert_eq!(before_horizon(it.reserve(&begun(n, Phase::Try, 1_000), 1).await), Duration::ZERO);
        it.ship(&begun(n, Phase::Confirm, 1_000), 1).await.unwrap();
        it.release(&begun(n, Phase::Cancel, 1_000), 1).await.unwrap();
    }
    assert_eq!((it.stock().await, it.runs()), before);

    // The horizon never goes back.
    it.release(&begun(9, Phase::Cancel, 1_001), 1).await.unwrap();
    sqlx::query("UPDATE tcc_fence SET begun_ms = 7 WHERE tx = ?")
        .bind(key(9).tx.to_string())
        .execute(&it.db)
        .await
        .unwrap();
    assert_eq!(fence.purge(at(8), 10).await.unwrap(), 1);
    before_horizon(it.reserve(&begun(8, Phase::Try, 1_000), 1).await);
    it.reserve(&begun(8, Phase::Try, 1_001), 1).await.unwrap();
    // What was tried is settled, however old it is.
    it.ship(&begun(3, Phase::Confirm, 1_000), 1).await.unwrap();
    assert_eq!(it.stock().await.2, before.0.2 + 1);

    #[expect(clippy::disallowed_methods, reason = "begin times are of wall clocks")]
    let future = SystemTime::now() + Duration::from_secs(60);
    assert!(matches!(fence.purge(future, 10).await, Err(FenceError::HorizonAhead)));
}

/// The fence's error, and by how much the transaction is too old.
#[track_caller]
fn before_horizon(answer: Tried<Hold, Short>) -> Duration {
    let Err(TryFailure::Unknown(error)) = answer else { panic!("{answer:?}") };
    let Some(FenceError::BeforeHorizon { older, .. }) = error.downcast_ref() else { panic!("{error}") };
    *older
}

#[tokio::test]
async fn a_clock_that_is_wrong_makes_no_live_transaction_too_old() {
    const HOUR: u64 = 3_600_000;
    let it = Inventory::new(50).await;
    let fence = SqliteFence::new(it.db.clone());
    let buy = async |n: u8, begun_ms: u64| {
        it.reserve(&begun(n, Phase::Try, begun_ms), 1)
            .await
            .map(drop)
            .map_err(|error| format!("{error:?}"))?;
        it.ship(&begun(n, Phase::Confirm, begun_ms), 1).await.map_err(|error| format!("{error:?}"))
    };
    // The clock of the coordinators, and that of whoever purges, which is years ahead of it.
    let noon = 1_000_000 * HOUR / 1_000;
    buy(1, noon).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "begin times are of wall clocks")]
    let ahead = SystemTime::now();
    assert_eq!(fence.purge(ahead, 10).await.unwrap(), 1);
    buy(2, noon + 1).await.unwrap();
    // It is set back by an hour: what was purged a day before is no hindrance.
    let fence = Inventory::new(50).await;
    let (it, fence) = (&fence, SqliteFence::new(fence.db.clone()));
    it.release(&begun(1, Phase::Cancel, noon - 25 * HOUR), 1).await.unwrap();
    assert_eq!(fence.purge(at(noon - 24 * HOUR), 10).await.unwrap(), 1);
    it.reserve(&begun(2, Phase::Try, noon - HOUR), 1).await.unwrap();
    // By days: then it can't be told from what is purged, and the error says so, to be read by whoever can set it right.
    let answer = it.reserve(&begun(3, Phase::Try, noon - 48 * HOUR), 1).await;
    assert_eq!(it.stock().await.1, 1, "it had no effect");
    let Err(TryFailure::Unknown(error)) = &answer else { panic!("{answer:?}") };
    assert!(error.to_string().contains("the clock of its coordinator's machine is behind"), "{error}");
    assert_eq!(before_horizon(answer), Duration::from_millis(23 * HOUR));
}

#[tokio::test]
async fn an_on_confirm_branch_older_than_the_horizon_still_runs_once() {
    let it = Inventory::new(50).await;
    let fence = SqliteFence::new(it.db.clone());
    it.release(&begun(2, Phase::Cancel, 1_500), 1).await.unwrap();
    assert_eq!(fence.purge(at(2_000), 10).await.unwrap(), 1);
    // It was stuck for longer than rows are kept.
    let confirm = begun(1, Phase::Confirm, 1_000).with_on_confirm(true);
    it.ship(&confirm, 1).await.unwrap();
    fence.purge(at(2_000), 10).await.unwrap();
    it.ship(&confirm, 1).await.unwrap();
    assert_eq!(it.runs(), 1);
}

mod compared_with_the_store {
    use super::*;
    use tcc_core::protocol::{Entry, Group, Op, Position};
    use tcc_core::store::{Append, Due, MemoryStore, Mode, StatusStore};

    #[tokio::test]
    async fn rows_without_a_transaction_go_by_age_and_orphans_are_shown() {
        let it = Inventory::new(50).await;
        let fence = SqliteFence::new(it.db.clone());
        let group = Group::new("shop").unwrap();
        let store = MemoryStore::new();
        // 1 tried and 2 on_confirm have a transaction that can't be read as finished; 3, 4 and 5 have none.
        for n in [1, 3] {
            it.reserve(&begun(n, Phase::Try, 1_000), 1).await.unwrap();
        }
        for n in [2, 4] {
            it.ship(&begun(n, Phase::Confirm, 1_000).with_on_confirm(true), 1).await.unwrap();
        }
        it.reserve(&begun(5, Phase::Try, 1_000), 500).await.unwrap_err();
        it.reserve(&call(6, Phase::Try), 1).await.unwrap();
        for n in [1, 2] {
            let write = Append {
                group: group.clone(),
                id: key(n).tx,
                after: Position::START,
                entry: Entry::new(Op::from_u64(1), "from a newer version").unwrap(),
                due: Due::Keep,
                mode: Mode::Extend,
            };
            store.append(&write).await.unwrap();
        }
        let hour = Duration::from_secs(3600);
        let (mut finished, mut orphans, mut next) = (0, Vec::new(), None);
        loop {
            let page =
                fence.compare(&store, std::slice::from_ref(&group), hour, next.as_ref(), 2).await.unwrap();
            finished += page.finished;
            orphans.extend(page.orphans);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(finished, 2, "4 and 5");
        assert_eq!(orphans.len(), 1);
        assert_eq!((orphans[0].key, orphans[0].state), (key(3), FenceState::Tried));
        assert_eq!(fence.purge(at(2_000), 10).await.unwrap(), 2);
        assert!(fence.finish(&orphans[0]).await.unwrap());
        assert_eq!(fence.purge(at(2_000), 10).await.unwrap(), 1);
        let left: Vec<String> = sqlx::query_scalar("SELECT substr(tx, 1, 2) FROM tcc_fence ORDER BY tx")
            .fetch_all(&it.db)
            .await
            .unwrap();
        assert_eq!(left, ["01", "02", "06"]);
    }
}

#[tokio::test]
async fn two_processes_may_migrate_at_once_and_a_newer_table_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let pools = [pool(&path).await, pool(&path).await, pool(&path).await];
    let migrating =
        pools.clone().map(|pool| tokio::spawn(async move { SqliteFence::new(pool).migrate().await }));
    for migrated in migrating {
        migrated.await.unwrap().unwrap();
    }
    sqlx::query("UPDATE tcc_schema SET version = 99").execute(&pools[0]).await.unwrap();
    let error = SqliteFence::new(pools[0].clone()).migrate().await.unwrap_err();
    assert!(error.to_string().contains("update this program"), "{error}");
}

/// The body is given the plain connection type.
#[allow(dead_code)]
async fn infers(cx: &Branch, db: &SqlitePool) -> Settled {
    async fn sql(_: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        Ok(())
    }
    cx.fenced(db, async |db| Ok(sql(db).await?)).await
}
