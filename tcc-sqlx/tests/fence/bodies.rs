//! What a body does: it fails, panics, is dropped, ends the transaction, runs twice at once; and how it is misused.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{Connection, SqliteConnection, SqlitePool};
use tcc_core::protocol::Phase;
use tcc_core::{Branch, Handler, SettleError, Settled, Tried, TryFailure};
use tcc_sqlx::{Fence, FenceError, Fenced, Gate};

use crate::rig::{Hold, Inventory, Reserve, Short, call, pool, too_late};

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
            let Err(TryFailure::Unknown(error)) = answer else { panic!("{end}: {answer:?}") };
            let said = "ended the fence's transaction: leave COMMIT and ROLLBACK to it; what it committed is unguarded";
            assert!(error.to_string().contains(said), "{end}: {error}");
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
    let Err(TryFailure::Unknown(twice)) = reserve(&it, &cx).await else { panic!("the same delivery") };
    assert!(matches!(twice.downcast_ref(), Some(FenceError::Twice { .. })), "{twice}");
    assert_eq!(reserve(&it, &cx.redelivered()).await.unwrap(), Hold { serial: 1 });
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
/// The body is given the plain connection type.
#[allow(dead_code)]
async fn infers(cx: &Branch, db: &SqlitePool) -> Settled {
    async fn sql(_: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        Ok(())
    }
    cx.fenced(db, async |db| Ok(sql(db).await?)).await
}
