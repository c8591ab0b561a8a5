//! Every cell of the fence's table: which phase does what, by the row it finds.

use tcc_core::protocol::Phase;
use tcc_core::{Tried, TryFailure};

use crate::rig::{Hold, Inventory, Short, call, refused, too_late};

#[tokio::test]
async fn peers_13_a_repeat_of_a_try_is_seen_before_any_check() {
    let it = Inventory::new(5).await;
    let first = it.reserve(&call(1, Phase::Try), 5).await.unwrap();
    // The stock is gone now: a check would refuse.
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
async fn peers_14_a_try_after_its_cancel_is_an_error() {
    let it = Inventory::new(5).await;
    // The cancel came first, and left a mark.
    it.release(&call(1, Phase::Cancel), 2).await.unwrap();
    too_late(it.reserve(&call(1, Phase::Try), 2).await);
    it.release(&call(1, Phase::Cancel), 2).await.unwrap();
    assert_eq!((it.stock().await, it.runs()), ((5, 0, 0), 0));
    // The cancel undid a try, which arrives once more: its first output is no answer any more.
    it.reserve(&call(2, Phase::Try), 2).await.unwrap();
    it.release(&call(2, Phase::Cancel), 2).await.unwrap();
    too_late(it.reserve(&call(2, Phase::Try), 2).await);
    assert_eq!((it.stock().await, it.runs()), ((5, 0, 0), 2));
}

#[tokio::test]
async fn a_confirm_without_a_try_is_refused_and_keeps_the_try_from_coming_later() {
    let it = Inventory::new(5).await;
    let why = refused(it.ship(&call(1, Phase::Confirm), 2).await);
    assert!(why.contains("lost") && why.contains("did not go through `fenced` on this database"), "{why}");
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
    let cx = || call(1, Phase::Try);
    assert_eq!(says(it.reserve(&cx(), 6).await), Short { available: 5 });
    assert_eq!(it.stock().await, (5, 0, 0), "its effect is rolled back");
    sqlx::query("UPDATE stock SET available = 50").execute(&it.db).await.unwrap();
    assert_eq!(
        says(it.reserve(&cx(), 6).await),
        Short { available: 5 },
        "the first refusal, though there is enough now"
    );
    assert_eq!(it.runs(), 1);
    assert!(refused(it.ship(&call(1, Phase::Confirm), 6).await).contains("refused"));
    it.release(&call(1, Phase::Cancel), 6).await.unwrap();
    it.release(&call(1, Phase::Cancel), 6).await.unwrap();
    too_late(it.reserve(&cx(), 6).await);
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
    it.ship(&confirm.redelivered(), 2).await.unwrap();
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
