//! The five services, each of their actions held to the promises of the protocol by `participant_suite!`.

use std::path::Path;

use shop::{
    Cents, CouponUse, Coupons, Inventory, Letter, Mail, Orders, OrdersPlace, Participants, Payment, Pieces,
    Sale, Seed, TILL, Wallet,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions, FromRow, SqliteConnection};
use tcc_core::protocol::{ActionName, BranchId, BranchKey, Phase, TxId};
use tcc_core::testing::{ParticipantFixture, participant_suite};
use tcc_core::{ActionType, Branch, Handler};
use tempfile::TempDir;

/// A new shop of its own.
struct Services {
    participants: Participants,
    dir: TempDir,
}

impl Services {
    async fn start() -> Self {
        let seed = Seed {
            stock: vec![("teapot".into(), Cents(1990), 10)],
            customers: vec![("ann".into(), Cents(50_000))],
            coupons: vec![("0".into(), Cents(500)), ("1".into(), Cents(300))],
        };
        let dir = folder();
        let participants = Participants::open_with(dir.path(), &seed).await.unwrap();
        Self { participants, dir }
    }

    /// All rows of a query, by a connection of its own: what is committed.
    async fn rows<R>(&self, file: &str, sql: &'static str) -> Vec<R>
    where
        R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let options = SqliteConnectOptions::new().filename(self.dir.path().join(file)).read_only(true);
        let mut db: SqliteConnection = options.connect().await.unwrap();
        sqlx::query_as(sql).fetch_all(&mut db).await.unwrap()
    }

    /// An order that is paid before the suite begins.
    async fn sell(&self, order: &str) {
        let name = ActionName::new(OrdersPlace::NAME).unwrap();
        let tx = TxId::from_bytes(std::array::from_fn(|at| order.as_bytes().get(at).copied().unwrap_or(0)));
        let cx = |phase| Branch::new(BranchKey::new(tx, BranchId::new(0)), name.clone(), phase);
        let orders = &*self.participants.orders;
        orders.place(&cx(Phase::Try), sale(order)).await.unwrap();
        Handler::<OrdersPlace>::confirm(orders, &cx(Phase::Confirm), sale(order), ()).await.unwrap();
    }
}

/// In memory, where the system has such a folder: some thousand shops are opened here, and each write is waited for.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn pieces(order: impl ToString, pieces: u32) -> Pieces {
    Pieces { order: order.to_string(), sku: "teapot".into(), pieces }
}

fn payment(order: impl ToString, payer: &str) -> Payment {
    Payment { order: order.to_string(), payer: payer.into(), payee: TILL.into(), amount: Cents(20_000) }
}

fn sale(order: impl ToString) -> Sale {
    Sale {
        order: order.to_string(),
        customer: "ann".into(),
        sku: "teapot".into(),
        pieces: 1,
        coupon: None,
        total: Cents(1990),
    }
}

fn letter(order: impl ToString) -> Letter {
    Letter { order: order.to_string(), customer: "ann".into(), amount: Cents(1990) }
}

/// Available and frozen; what was shipped or came back.
type Stock = (Vec<(i64, i64)>, Vec<(String, i64)>);

async fn stock(services: &Services) -> Stock {
    (
        services.rows("inventory.db", "SELECT available, frozen FROM stock").await,
        services.rows("inventory.db", "SELECT order_id, pieces FROM shipments ORDER BY id").await,
    )
}

/// Orders, and what became of them.
type Book = Vec<(String, String)>;

async fn book(services: &Services) -> Book {
    services.rows("orders.db", "SELECT id, state FROM orders ORDER BY id").await
}

/// Kind, order, customer and amount.
type Letters = Vec<(String, String, String, i64)>;

async fn letters(services: &Services) -> Letters {
    services.rows("mail.db", "SELECT kind, order_id, customer, amount FROM letters ORDER BY id").await
}

mod inventory_reserve {
    use shop::InventoryReserve;

    use super::*;

    struct Reserve(Services);

    impl ParticipantFixture for Reserve {
        type Action = InventoryReserve;
        type Service = Inventory;
        type State = Stock;

        async fn start() -> Self {
            Self(Services::start().await)
        }

        fn service(&self) -> &Inventory {
            &self.0.participants.inventory
        }

        fn request(&self, number: u32) -> Pieces {
            pieces(number, 4)
        }

        fn refused(&self) -> Option<Pieces> {
            Some(pieces("too many", 11))
        }

        async fn state(&self) -> Stock {
            stock(&self.0).await
        }
    }

    participant_suite!(Reserve);
}

mod inventory_take_back {
    use shop::InventoryTakeBack;

    use super::*;

    struct TakeBack(Services);

    impl ParticipantFixture for TakeBack {
        type Action = InventoryTakeBack;
        type Service = Inventory;
        type State = Stock;

        async fn start() -> Self {
            Self(Services::start().await)
        }

        fn service(&self) -> &Inventory {
            &self.0.participants.inventory
        }

        fn request(&self, number: u32) -> Pieces {
            pieces(number, 2)
        }

        fn refused(&self) -> Option<Pieces> {
            None
        }

        async fn state(&self) -> Stock {
            stock(&self.0).await
        }
    }

    participant_suite!(TakeBack);
}

mod wallet_freeze {
    use shop::WalletFreeze;

    use super::*;

    struct Freeze(Services);

    impl ParticipantFixture for Freeze {
        type Action = WalletFreeze;
        type Service = Wallet;
        /// Owner, balance, frozen; order and amount of what was paid.
        type State = (Vec<(String, i64, i64)>, Vec<(String, i64)>);

        async fn start() -> Self {
            Self(Services::start().await)
        }

        fn service(&self) -> &Wallet {
            &self.0.participants.wallet
        }

        fn request(&self, number: u32) -> Payment {
            payment(number, "ann")
        }

        fn refused(&self) -> Option<Payment> {
            Some(payment("of a stranger", "eve"))
        }

        async fn state(&self) -> Self::State {
            let rows = "SELECT owner, balance, frozen FROM accounts ORDER BY owner";
            (
                self.0.rows("wallet.db", rows).await,
                self.0.rows("wallet.db", "SELECT order_id, amount FROM payments ORDER BY id").await,
            )
        }
    }

    participant_suite!(Freeze);
}

mod coupons_lock {
    use shop::CouponsLock;

    use super::*;

    struct Lock(Services);

    impl ParticipantFixture for Lock {
        type Action = CouponsLock;
        type Service = Coupons;
        /// Code, state, order.
        type State = Vec<(String, String, Option<String>)>;

        async fn start() -> Self {
            Self(Services::start().await)
        }

        fn service(&self) -> &Coupons {
            &self.0.participants.coupons
        }

        fn request(&self, number: u32) -> CouponUse {
            CouponUse { order: number.to_string(), code: number.to_string() }
        }

        fn refused(&self) -> Option<CouponUse> {
            Some(CouponUse { order: "0".into(), code: "forged".into() })
        }

        async fn state(&self) -> Self::State {
            self.0.rows("coupons.db", "SELECT code, state, order_id FROM coupons ORDER BY code").await
        }
    }

    participant_suite!(Lock);
}

mod orders_place {
    use super::*;

    struct Place(Services);

    impl ParticipantFixture for Place {
        type Action = OrdersPlace;
        type Service = Orders;
        type State = Book;

        async fn start() -> Self {
            let services = Services::start().await;
            services.sell("sold").await;
            Self(services)
        }

        fn service(&self) -> &Orders {
            &self.0.participants.orders
        }

        fn request(&self, number: u32) -> Sale {
            sale(number)
        }

        fn refused(&self) -> Option<Sale> {
            Some(sale("sold"))
        }

        async fn state(&self) -> Book {
            book(&self.0).await
        }

        /// An order that was cancelled stays in the book.
        fn undone(before: &Book, after: &Book) -> bool {
            let valid = |book: &Book| {
                book.iter().filter(|(_, state)| state != "cancelled").cloned().collect::<Vec<_>>()
            };
            valid(before) == valid(after)
        }
    }

    participant_suite!(Place);
}

mod orders_take_back {
    use shop::OrdersTakeBack;

    use super::*;

    struct TakeBack(Services);

    impl ParticipantFixture for TakeBack {
        type Action = OrdersTakeBack;
        type Service = Orders;
        type State = Book;

        async fn start() -> Self {
            let services = Services::start().await;
            services.sell("0").await;
            services.sell("1").await;
            Self(services)
        }

        fn service(&self) -> &Orders {
            &self.0.participants.orders
        }

        fn request(&self, number: u32) -> String {
            number.to_string()
        }

        fn refused(&self) -> Option<String> {
            Some("of another shop".into())
        }

        async fn state(&self) -> Book {
            book(&self.0).await
        }
    }

    participant_suite!(TakeBack);
}

mod mail_receipt {
    use shop::MailReceipt;

    use super::*;

    struct Receipt(Services);

    impl ParticipantFixture for Receipt {
        type Action = MailReceipt;
        type Service = Mail;
        type State = Letters;

        async fn start() -> Self {
            Self(Services::start().await)
        }

        fn service(&self) -> &Mail {
            &self.0.participants.mail
        }

        fn request(&self, number: u32) -> Letter {
            letter(number)
        }

        fn refused(&self) -> Option<Letter> {
            None
        }

        async fn state(&self) -> Letters {
            letters(&self.0).await
        }
    }

    participant_suite!(Receipt);
}

mod mail_credit_note {
    use shop::MailCreditNote;

    use super::*;

    struct CreditNote(Services);

    impl ParticipantFixture for CreditNote {
        type Action = MailCreditNote;
        type Service = Mail;
        type State = Letters;

        async fn start() -> Self {
            Self(Services::start().await)
        }

        fn service(&self) -> &Mail {
            &self.0.participants.mail
        }

        fn request(&self, number: u32) -> Letter {
            letter(number)
        }

        fn refused(&self) -> Option<Letter> {
            None
        }

        async fn state(&self) -> Letters {
            letters(&self.0).await
        }
    }

    participant_suite!(CreditNote);
}
