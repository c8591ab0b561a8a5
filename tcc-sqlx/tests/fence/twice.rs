//! A handler that calls `fenced` twice in a phase: the second would look like a repeat, and its effect would be lost.

use std::sync::atomic::Ordering;

use sqlx::SqlitePool;
use tcc_core::protocol::Phase;
use tcc_core::testing::{ParticipantFixture, ParticipantSuite, participant_cases};
use tcc_core::{Branch, Handler, SettleError, Settled, Tried, TryFailure};
use tcc_sqlx::sqlite::SqliteFence;
use tcc_sqlx::{FenceError, Fenced};

use crate::rig::{Hold, Inventory, Reserve, Short, call, key, pool};

/// A phase whose two effects are in two bodies, on these databases.
async fn in_two(it: &Inventory, cx: &Branch, other: &SqlitePool) -> Settled {
    it.ship(cx, 1).await?;
    cx.fenced(other, async |_| {
        it.runs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    })
    .await
}

fn twice(answer: Settled) -> String {
    let Err(SettleError::Later(error)) = answer else { panic!("{answer:?}") };
    assert!(matches!(error.downcast_ref(), Some(FenceError::Twice { .. })), "{error}");
    error.to_string()
}

#[tokio::test]
async fn two_bodies_in_one_phase_are_an_error_of_the_second_and_of_each_repeat() {
    let it = Inventory::new(5).await;
    it.reserve(&call(1, Phase::Try), 1).await.unwrap();
    let confirm = call(1, Phase::Confirm);
    let told = twice(in_two(&it, &confirm, &it.db).await);
    assert_eq!(
        told,
        format!(
            "`fenced` was called twice in this confirm of inventory.reserve (branch {}): put both into one body; the \
             second had no effect",
            key(1)
        )
    );
    assert_eq!((it.stock().await, it.runs()), ((4, 0, 1), 2), "the first had its effect");
    // A coordinator asks again, and must not be told that all is done.
    for _ in 0..3 {
        twice(in_two(&it, &confirm.redelivered(), &it.db).await);
    }
    assert_eq!(it.runs(), 2);
}

#[tokio::test]
async fn a_second_body_is_found_in_each_phase_and_whatever_the_first_did() {
    let it = Inventory::new(5).await;
    let cx = call(1, Phase::Try);
    it.reserve(&cx, 1).await.unwrap();
    let again = it.reserve(&cx.clone(), 1).await;
    let Err(TryFailure::Unknown(error)) = again else { panic!("{again:?}") };
    assert!(error.to_string().contains("in this try of inventory.reserve"), "{error}");

    let cx = call(2, Phase::Try);
    it.reserve(&cx, 50).await.unwrap_err();
    let after_a_refusal: Tried<Hold, Short> = it.reserve(&cx, 1).await;
    assert!(matches!(after_a_refusal, Err(TryFailure::Unknown(_))), "{after_a_refusal:?}");

    for n in [1, 2, 3] {
        // What was tried, what was refused, and what never came.
        let cx = call(n, Phase::Cancel);
        it.release(&cx, 1).await.unwrap();
        assert!(twice(it.release(&cx, 1).await).contains("in this cancel"));
    }
    let cx = call(4, Phase::Confirm);
    it.ship(&cx, 1).await.unwrap_err();
    twice(it.ship(&cx, 1).await);
    assert_eq!(it.stock().await, (5, 0, 0));
}

#[tokio::test]
async fn a_body_may_be_run_again_after_one_that_was_rolled_back() {
    let it = Inventory::new(5).await;
    let cx = call(1, Phase::Try);
    let failed: Tried<Hold, Short> =
        cx.fenced(&it.db, async |_| Err("not now".parse::<u8>().unwrap_err().into())).await;
    assert!(matches!(failed, Err(TryFailure::Unknown(_))), "{failed:?}");
    it.reserve(&cx, 2).await.unwrap();
    assert_eq!(it.stock().await, (3, 2, 0));
}

#[tokio::test]
async fn one_body_for_each_of_two_databases_is_no_mistake() {
    let it = Inventory::new(5).await;
    let other = pool(&it._folder.path().join("other.db")).await;
    SqliteFence::new(other.clone()).migrate().await.unwrap();
    let confirm = call(1, Phase::Confirm).with_on_confirm(true);
    in_two(&it, &confirm, &other).await.unwrap();
    in_two(&it, &confirm.redelivered(), &other).await.unwrap();
    assert_eq!(it.runs(), 2, "each had its effect, and once");
}

/// The table as version 1 made it, with a row.
#[tokio::test]
async fn a_table_of_the_version_before_is_migrated_and_its_rows_stay() {
    let it = Inventory::new(5).await;
    it.reserve(&call(1, Phase::Try), 1).await.unwrap();
    sqlx::raw_sql(
        "ALTER TABLE tcc_fence DROP COLUMN delivery; UPDATE tcc_schema SET version = 1 WHERE part = 'fence'",
    )
    .execute(&it.db)
    .await
    .unwrap();
    let unmigrated = it.ship(&call(1, Phase::Confirm), 1).await;
    let Err(SettleError::Later(error)) = unmigrated else { panic!("{unmigrated:?}") };
    assert!(error.to_string().contains("migrate()"), "{error}");
    SqliteFence::new(it.db.clone()).migrate().await.unwrap();
    assert_eq!(it.reserve(&call(1, Phase::Try), 1).await.unwrap(), Hold { serial: 1 }, "a repeat");
    it.ship(&call(1, Phase::Confirm), 1).await.unwrap();
    assert_eq!((it.stock().await, it.runs()), ((4, 0, 1), 2));
}

/// A service whose confirm has two bodies.
struct InTwo(Inventory);

impl Handler<Reserve> for InTwo {
    async fn r#try(&self, cx: &Branch, pieces: i64) -> Tried<Hold, Short> {
        self.0.reserve(cx, pieces).await
    }

    async fn confirm(&self, cx: &Branch, _: i64, _: Hold) -> Settled {
        in_two(&self.0, cx, &self.0.db).await
    }

    async fn cancel(&self, cx: &Branch, pieces: i64, _: Option<Hold>) -> Settled {
        self.0.release(cx, pieces).await
    }
}

impl ParticipantFixture for InTwo {
    type Action = Reserve;
    type Service = Self;
    type State = (i64, i64, i64);

    async fn start() -> Self {
        Self(Inventory::new(5).await)
    }

    fn service(&self) -> &Self {
        self
    }

    fn request(&self, _: u32) -> i64 {
        1
    }

    fn refused(&self) -> Option<i64> {
        Some(100)
    }

    async fn state(&self) -> (i64, i64, i64) {
        self.0.stock().await
    }
}

#[tokio::test]
async fn the_suite_for_actions_catches_it_in_a_plain_run() {
    let plain = participant_cases().iter().find(|case| case.name() == "every_phase_is_answered").unwrap();
    let broken = plain.run(&ParticipantSuite::of::<InTwo>()).await.unwrap_err();
    assert!(
        broken.found.contains("`fenced` was called twice in this confirm of inventory.reserve"),
        "{broken}"
    );
}
