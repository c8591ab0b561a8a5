//! The shop itself, on a store in memory.

use std::path::Path;
use std::sync::Arc;

use shop::{Audit, Cents, CheckoutError, GROUP, Order, Participants, PaymentError, RefundError, Seed, Shop};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tcc_core::protocol::Group;
use tcc_core::store::{MemoryStore, StatusStore};
use tcc_core::{BranchError, Coordinator, Duplicate, TransactionError};
use tempfile::TempDir;

/// An open shop, and its folder.
async fn open() -> (TempDir, Shop, Arc<MemoryStore>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let shop = Shop::open(dir.path(), store.clone()).await.unwrap();
    (dir, shop, store)
}

/// Ends it, and reads its books: nothing is unfinished then, and everything must add up.
async fn close(dir: &Path, shop: &Shop, store: &MemoryStore) -> Audit {
    shop.coordinator().shutdown().await;
    assert_eq!(store.stats(&Group::new(GROUP).unwrap()).await.unwrap().unfinished, 0);
    let audit = Audit::of(dir).await.unwrap();
    assert!(audit.is_sound(), "{audit}");
    audit
}

async fn tamper(dir: &Path, file: &str, sql: &'static str) {
    let mut db: SqliteConnection =
        SqliteConnectOptions::new().filename(dir.join(file)).connect().await.unwrap();
    assert_eq!(sqlx::query(sql).execute(&mut db).await.unwrap().rows_affected(), 1, "{sql}");
}

#[tokio::test]
async fn an_order_is_bought_and_given_back() {
    let (dir, shop, store) = open().await;
    let order = Order::new("1", "ann", "teapot", 2).with_coupon("WELCOME");
    let receipt = shop.checkout(order.clone()).await.unwrap();
    assert_eq!((receipt.total, receipt.coupon.as_deref()), (Cents(34_80), Some("WELCOME")));
    assert_eq!(shop.checkout(order).await.unwrap(), receipt, "the same order is bought once");

    let other = shop.checkout(Order::new("1", "ann", "teapot", 3)).await.unwrap_err();
    let CheckoutError::Transaction(TransactionError::Duplicate { why, .. }) = other else {
        panic!("{other:?}")
    };
    assert_eq!(why, Duplicate::AnotherRequest);

    assert_eq!(shop.refund("1".into()).await.unwrap().amount, Cents(34_80));
    let twice = shop.refund("1".into()).await.unwrap_err();
    assert!(matches!(twice, RefundError::Order(BranchError::Refused(_))), "{twice:?}");

    let audit = close(dir.path(), &shop, &store).await;
    assert_eq!((audit.orders.refunded, audit.orders.receipts), (1, 1));
    assert_eq!((audit.money.till, audit.money.customers), (Cents(0), audit.money.paid_in));
    assert_eq!(audit.stock.sold, 0);
}

#[tokio::test]
async fn whoever_refuses_nothing_is_left_behind() {
    let (dir, shop, store) = open().await;
    for (order, who) in [
        (Order::new("many", "ann", "teapot", 11), "inventory"),
        (Order::new("what", "ann", "unicorn", 1), "inventory"),
        (Order::new("dear", "bob", "lamp", 1).with_coupon("WELCOME"), "wallet"),
        (Order::new("none", "ann", "lamp", 0), "inventory"),
    ] {
        let refused = shop.checkout(order).await.unwrap_err();
        assert!(refused.to_string().starts_with(&format!("{who}: refused")), "{refused}");
    }
    let stranger = shop.checkout(Order::new("who", "eve", "teapot", 1)).await.unwrap_err();
    let CheckoutError::Payment(BranchError::Refused(why)) = stranger else { panic!("{stranger:?}") };
    assert_eq!(why, PaymentError::Unknown("eve".into()));

    let audit = close(dir.path(), &shop, &store).await;
    assert_eq!((audit.orders.paid, audit.stock.sold, audit.money.till), (0, 0, Cents(0)));
}

#[tokio::test]
async fn a_refused_coupon_does_not_stop_a_checkout() {
    let (dir, shop, store) = open().await;
    for (id, code) in [("1", "WELCOME"), ("2", "WELCOME"), ("3", "FORGED")] {
        let receipt = shop.checkout(Order::new(id, "ann", "teapot", 1).with_coupon(code)).await.unwrap();
        assert_eq!(receipt.coupon.is_some(), id == "1");
    }
    assert_eq!(close(dir.path(), &shop, &store).await.orders.paid, 3);
}

#[tokio::test]
async fn the_last_pieces_are_sold_once() {
    let dir = tempfile::tempdir().unwrap();
    let seed = Seed { stock: vec![("lamp".into(), Cents(1_00), 5)], ..Seed::default() };
    let (one, two) =
        tokio::join!(Participants::open_with(dir.path(), &seed), Participants::open_with(dir.path(), &seed));
    let store = Arc::new(MemoryStore::new());
    let mut shops = Vec::new();
    for participants in [one.unwrap(), two.unwrap()] {
        let builder = participants.register(Coordinator::builder(GROUP, store.clone()));
        shops.push(Shop::new(builder.start().await.unwrap()));
    }
    let mut checkouts = tokio::task::JoinSet::new();
    for n in 0..12 {
        let shop = shops[n % 2].clone();
        checkouts
            .spawn(async move { shop.checkout(Order::new(n.to_string(), "ann", "lamp", 1)).await.is_ok() });
    }
    let bought = checkouts.join_all().await.into_iter().filter(|bought| *bought).count();
    assert_eq!(bought, 5);
    shops[0].coordinator().shutdown().await;
    assert_eq!(close(dir.path(), &shops[1], &store).await.stock.available, 0);
}

#[tokio::test]
async fn the_audit_sees_what_is_wrong() {
    let planted = [
        (
            "wallet.db",
            "UPDATE accounts SET balance = balance - 1 WHERE owner = 'till'",
            "money is not conserved",
        ),
        (
            "wallet.db",
            "UPDATE accounts SET balance = balance - 1, frozen = 1 WHERE owner = 'bob'",
            "is frozen",
        ),
        ("wallet.db", "DELETE FROM payments", "has 0 payments instead of 1"),
        (
            "wallet.db",
            "INSERT INTO payments SELECT 9, order_id, payer, payee, amount FROM payments",
            "has 2 payments",
        ),
        (
            "inventory.db",
            "UPDATE stock SET available = available - 1 WHERE sku = 'lamp'",
            "lamp are not conserved",
        ),
        (
            "inventory.db",
            "UPDATE stock SET available = available - 1, frozen = 1 WHERE sku = 'lamp'",
            "are frozen",
        ),
        ("inventory.db", "DELETE FROM shipments", "has 0 shipments instead of 1"),
        ("orders.db", "UPDATE orders SET state = 'placed'", "is half-way"),
        ("orders.db", "UPDATE orders SET state = 'cancelled'", "is cancelled, and has 1 payments"),
        ("orders.db", "DELETE FROM orders", "is not in the book"),
        ("coupons.db", "UPDATE coupons SET state = 'locked'", "is locked"),
        ("coupons.db", "UPDATE coupons SET order_id = '7'", "was not bought with it"),
        ("mail.db", "DELETE FROM letters", "has 0 receipts instead of 1"),
        ("mail.db", "UPDATE tcc_fence SET state = 'cancelled'", "is both"),
        ("mail.db", "UPDATE tcc_fence SET state = 'tried'", "not settled"),
    ];
    let (sound, shop, store) = open().await;
    shop.checkout(Order::new("1", "ann", "teapot", 1).with_coupon("WELCOME")).await.unwrap();
    close(sound.path(), &shop, &store).await;
    for (file, sql, seen) in planted {
        let dir = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(sound.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
        }
        tamper(dir.path(), file, sql).await;
        let audit = Audit::of(dir.path()).await.unwrap();
        assert!(audit.violations.iter().any(|violation| violation.contains(seen)), "{sql}: {audit}");
    }
}
