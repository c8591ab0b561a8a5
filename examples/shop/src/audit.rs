//! Reads all five databases, and says what does not add up.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions, FromRow, Row, SqliteConnection};

use crate::database::OpenError;
use crate::money::Cents;
use crate::participants::{FILES, Sale, TILL};

/// What the five databases say, and what of it does not add up.
///
/// Each is read by itself, so it is exact only while nothing is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audit {
    /// All money.
    pub money: MoneyCount,
    /// All pieces.
    pub stock: StockCount,
    /// All orders.
    pub orders: OrderCount,
    /// What does not add up, in words. Nothing, if all is well.
    pub violations: Vec<String>,
}

/// All money, of all accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MoneyCount {
    /// What was once paid in.
    pub paid_in: Cents,
    /// What the customers have.
    pub customers: Cents,
    /// What the shop has.
    pub till: Cents,
    /// What is neither here nor there.
    pub frozen: Cents,
}

/// All pieces, of all articles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StockCount {
    /// What once came in.
    pub received: i64,
    /// What can be bought.
    pub available: i64,
    /// What was shipped and has not come back.
    pub sold: i64,
    /// What is neither here nor there.
    pub frozen: i64,
}

/// All orders, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OrderCount {
    /// Bought.
    pub paid: u64,
    /// Bought and given back.
    pub refunded: u64,
    /// Written down, and then cancelled. (Most that are cancelled never come so far.)
    pub cancelled: u64,
    /// In the middle of something.
    pub half_way: u64,
    /// Receipts that were sent.
    pub receipts: u64,
}

impl Audit {
    /// Reads the databases in a folder. It changes nothing.
    ///
    /// # Errors
    /// [`OpenError`] if one can't be read.
    pub async fn of(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        let books = Books::read(dir.as_ref()).await?;
        let mut audit = Self {
            money: books.money(),
            stock: books.stock(),
            orders: books.count_orders(),
            violations: Vec::new(),
        };
        let violations = &mut audit.violations;
        books.check_accounts(violations);
        books.check_stock(violations);
        books.check_orders(violations);
        books.check_coupons(violations);
        books.check_strays(violations);
        books.check_fences(violations);
        Ok(audit)
    }

    /// Whether everything adds up.
    pub fn is_sound(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { money, stock, orders, violations } = self;
        writeln!(
            f,
            "money   {} paid in = {} with customers + {} in the till + {} frozen",
            money.paid_in, money.customers, money.till, money.frozen
        )?;
        writeln!(
            f,
            "stock   {} received = {} available + {} sold + {} frozen",
            stock.received, stock.available, stock.sold, stock.frozen
        )?;
        writeln!(
            f,
            "orders  {} paid, {} refunded, {} cancelled, {} half-way; {} receipts",
            orders.paid, orders.refunded, orders.cancelled, orders.half_way, orders.receipts
        )?;
        match violations.len() {
            0 => write!(f, "sound: everything adds up"),
            _ => {
                write!(f, "NOT SOUND:")?;
                violations.iter().try_for_each(|violation| write!(f, "\n  - {violation}"))
            }
        }
    }
}

/// Everything that the five databases say.
#[derive(Default)]
struct Books {
    orders: Vec<(Sale, String)>,
    stock: Vec<Article>,
    shipments: Vec<Shipment>,
    accounts: Vec<Account>,
    payments: Vec<Transfer>,
    coupons: Vec<Coupon>,
    letters: Vec<Letter>,
    /// Of all fences, by transaction.
    branches: BTreeMap<String, Vec<FencedBranch>>,
}

struct Article {
    sku: String,
    received: i64,
    available: i64,
    frozen: i64,
}

impl FromRow<'_, SqliteRow> for Article {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            sku: row.try_get("sku")?,
            received: row.try_get("received")?,
            available: row.try_get("available")?,
            frozen: row.try_get("frozen")?,
        })
    }
}

struct Shipment {
    order_id: String,
    sku: String,
    pieces: i64,
}

impl FromRow<'_, SqliteRow> for Shipment {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            order_id: row.try_get("order_id")?,
            sku: row.try_get("sku")?,
            pieces: row.try_get("pieces")?,
        })
    }
}

struct Account {
    owner: String,
    paid_in: Cents,
    balance: Cents,
    frozen: Cents,
}

impl FromRow<'_, SqliteRow> for Account {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            owner: row.try_get("owner")?,
            paid_in: row.try_get("paid_in")?,
            balance: row.try_get("balance")?,
            frozen: row.try_get("frozen")?,
        })
    }
}

struct Transfer {
    order_id: String,
    payer: String,
    payee: String,
    amount: Cents,
}

impl FromRow<'_, SqliteRow> for Transfer {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            order_id: row.try_get("order_id")?,
            payer: row.try_get("payer")?,
            payee: row.try_get("payee")?,
            amount: row.try_get("amount")?,
        })
    }
}

struct Coupon {
    code: String,
    state: String,
    order_id: Option<String>,
}

impl FromRow<'_, SqliteRow> for Coupon {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            code: row.try_get("code")?,
            state: row.try_get("state")?,
            order_id: row.try_get("order_id")?,
        })
    }
}

struct Letter {
    kind: String,
    order_id: String,
    customer: String,
    amount: Cents,
}

impl FromRow<'_, SqliteRow> for Letter {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            kind: row.try_get("kind")?,
            order_id: row.try_get("order_id")?,
            customer: row.try_get("customer")?,
            amount: row.try_get("amount")?,
        })
    }
}

struct FencedBranch {
    tx: String,
    action: String,
    state: String,
}

impl FromRow<'_, SqliteRow> for FencedBranch {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self { tx: row.try_get("tx")?, action: row.try_get("action")?, state: row.try_get("state")? })
    }
}

impl Books {
    async fn read(dir: &Path) -> Result<Self, OpenError> {
        let mut books = Self::default();
        for file in FILES {
            let path = dir.join(file);
            if !path.is_file() {
                return Err(OpenError::NoShop { file: path });
            }
            let read = async {
                let mut db = SqliteConnectOptions::new().filename(&path).connect().await?;
                books.read_one(file, &mut db).await
            };
            read.await.map_err(|error| OpenError::Database { file: path.clone(), error })?;
        }
        Ok(books)
    }

    async fn read_one(&mut self, file: &str, db: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        use crate::participants::{COUPONS, INVENTORY, MAIL, ORDERS, WALLET};
        match file {
            ORDERS => {
                for row in sqlx::query("SELECT * FROM orders ORDER BY id").fetch_all(&mut *db).await? {
                    self.orders.push((Sale::from_row(&row)?, row.try_get("state")?));
                }
            }
            INVENTORY => {
                self.stock = rows(db, "SELECT * FROM stock ORDER BY sku").await?;
                self.shipments = rows(db, "SELECT * FROM shipments ORDER BY id").await?;
            }
            WALLET => {
                self.accounts = rows(db, "SELECT * FROM accounts ORDER BY owner").await?;
                self.payments = rows(db, "SELECT * FROM payments ORDER BY id").await?;
            }
            COUPONS => self.coupons = rows(db, "SELECT * FROM coupons ORDER BY code").await?,
            MAIL => self.letters = rows(db, "SELECT * FROM letters ORDER BY id").await?,
            _ => {}
        }
        let fenced: Vec<FencedBranch> =
            rows(db, "SELECT tx || run AS tx, action, state FROM tcc_fence").await?;
        for branch in fenced {
            self.branches.entry(branch.tx.clone()).or_default().push(branch);
        }
        Ok(())
    }

    fn money(&self) -> MoneyCount {
        let sum = |of: fn(&Account) -> Cents, whose: fn(&Account) -> bool| {
            self.accounts.iter().filter(|account| whose(account)).map(of).sum()
        };
        MoneyCount {
            paid_in: sum(|account| account.paid_in, |_| true),
            customers: sum(|account| account.balance, |account| account.owner != TILL),
            till: sum(|account| account.balance, |account| account.owner == TILL),
            frozen: sum(|account| account.frozen, |_| true),
        }
    }

    fn stock(&self) -> StockCount {
        StockCount {
            received: self.stock.iter().map(|article| article.received).sum(),
            available: self.stock.iter().map(|article| article.available).sum(),
            sold: self.shipments.iter().map(|shipment| shipment.pieces).sum(),
            frozen: self.stock.iter().map(|article| article.frozen).sum(),
        }
    }

    fn count_orders(&self) -> OrderCount {
        let mut count = OrderCount {
            receipts: self.letters.iter().filter(|letter| letter.kind == "receipt").count() as u64,
            ..OrderCount::default()
        };
        for (_, state) in &self.orders {
            match state.as_str() {
                "paid" => count.paid += 1,
                "refunded" => count.refunded += 1,
                "cancelled" => count.cancelled += 1,
                _ => count.half_way += 1,
            }
        }
        count
    }

    fn check_accounts(&self, violations: &mut Vec<String>) {
        let MoneyCount { paid_in, customers, till, frozen } = self.money();
        let there = customers + till + frozen;
        if there != paid_in {
            violations.push(format!("money is not conserved: {paid_in} was paid in, and {there} is there"));
        }
        for Account { owner, paid_in, balance, frozen } in &self.accounts {
            if *frozen != Cents(0) {
                violations.push(format!("{frozen} of {owner}'s money is frozen"));
            }
            let sum = |of: fn(&Transfer) -> &str| -> Cents {
                let theirs = self.payments.iter().filter(|payment| of(payment) == owner);
                theirs.map(|payment| payment.amount).sum()
            };
            let by_payments = *paid_in + sum(|payment| &payment.payee) - sum(|payment| &payment.payer);
            let has = *balance + *frozen;
            if has != by_payments {
                violations.push(format!("{owner} has {has}, and by the payments it should be {by_payments}"));
            }
        }
        let paid: Cents =
            self.orders.iter().filter(|(_, state)| state == "paid").map(|(sale, _)| sale.total).sum();
        if paid != till {
            violations.push(format!("the till has {till}, and the paid orders come to {paid}"));
        }
    }

    fn check_stock(&self, violations: &mut Vec<String>) {
        for Article { sku, received, available, frozen } in &self.stock {
            if *frozen != 0 {
                violations.push(format!("{frozen} pieces of {sku} are frozen"));
            }
            let shipped = self.shipments.iter().filter(|shipment| shipment.sku == *sku);
            let sold: i64 = shipped.map(|shipment| shipment.pieces).sum();
            let there = available + frozen + sold;
            if there != *received {
                violations.push(format!(
                    "pieces of {sku} are not conserved: {received} came in, and {there} are available, frozen or sold"
                ));
            }
            let paid = self.orders.iter().filter(|(sale, state)| state == "paid" && sale.sku == *sku);
            let paid: i64 = paid.map(|(sale, _)| i64::from(sale.pieces)).sum();
            if paid != sold {
                violations
                    .push(format!("{sold} pieces of {sku} are with customers, and {paid} are paid for"));
            }
        }
    }

    /// Each order with what it should have left everywhere else.
    fn check_orders(&self, violations: &mut Vec<String>) {
        for (sale, state) in &self.orders {
            let id = &sale.order;
            let (bought, returned) = match state.as_str() {
                "paid" => (true, false),
                "refunded" => (true, true),
                "cancelled" => (false, false),
                _ => {
                    violations.push(format!("order {id} is half-way: {state}"));
                    continue;
                }
            };
            let mut expect = |what: &str, found: usize, expected: bool| {
                if found != usize::from(expected) {
                    violations.push(format!(
                        "order {id} is {state}, and has {found} {what} instead of {}",
                        u8::from(expected)
                    ));
                }
            };
            let paid = |payer: &str, payee: &str| {
                let theirs = |payment: &&Transfer| {
                    payment.order_id == *id
                        && payment.amount == sale.total
                        && payment.payer == payer
                        && payment.payee == payee
                };
                self.payments.iter().filter(theirs).count()
            };
            expect("payments", paid(&sale.customer, TILL), bought);
            expect("payments back", paid(TILL, &sale.customer), returned);
            let shipped = |pieces: i64| {
                let its = |shipment: &&Shipment| {
                    shipment.order_id == *id && shipment.sku == sale.sku && shipment.pieces == pieces
                };
                self.shipments.iter().filter(its).count()
            };
            expect("shipments", shipped(sale.pieces.into()), bought);
            expect("returned shipments", shipped(-i64::from(sale.pieces)), returned);
            let sent = |kind: &str| {
                let its = |letter: &&Letter| {
                    letter.order_id == *id
                        && letter.kind == kind
                        && letter.customer == sale.customer
                        && letter.amount == sale.total
                };
                self.letters.iter().filter(its).count()
            };
            expect("receipts", sent("receipt"), bought);
            expect("credit notes", sent("credit note"), returned);
            let used = |coupon: &&Coupon| coupon.state == "used" && coupon.order_id.as_ref() == Some(id);
            expect("used coupons", self.coupons.iter().filter(used).count(), bought && sale.coupon.is_some());
        }
    }

    fn check_coupons(&self, violations: &mut Vec<String>) {
        for Coupon { code, state, order_id } in &self.coupons {
            let order = order_id.as_deref().unwrap_or("none");
            if state == "locked" {
                violations.push(format!("the coupon {code} is locked for order {order}"));
            }
            let used_for = |(sale, state): &(Sale, String)| {
                sale.order == order && sale.coupon.as_ref() == Some(code) && state != "cancelled"
            };
            if state == "used" && !self.orders.iter().any(used_for) {
                violations.push(format!(
                    "the coupon {code} is used for order {order}, which was not bought with it"
                ));
            }
        }
    }

    /// What belongs to no order, or is more than an order's own.
    fn check_strays(&self, violations: &mut Vec<String>) {
        let mut check = |what: &str, order: &str, count: usize| {
            let state = self.orders.iter().find(|(sale, _)| sale.order == order).map(|(_, state)| &**state);
            let (may_be, is) = match state {
                Some("paid") => (1, "is paid"),
                Some("refunded") => (2, "is refunded"),
                Some("cancelled") => (0, "is cancelled"),
                Some(_) => return,
                None => (0, "is not in the book"),
            };
            if count > may_be {
                violations.push(format!("order {order} {is}, and has {count} {what} all in all"));
            }
        };
        for (order, count) in count(self.payments.iter().map(|payment| &payment.order_id)) {
            check("payments", order, count);
        }
        for (order, count) in count(self.shipments.iter().map(|shipment| &shipment.order_id)) {
            check("shipments", order, count);
        }
        for (order, count) in count(self.letters.iter().map(|letter| &letter.order_id)) {
            check("letters", order, count);
        }
    }

    /// What the services did in each transaction, by their own fences: all confirmed, or all cancelled.
    fn check_fences(&self, violations: &mut Vec<String>) {
        for (tx, branches) in &self.branches {
            let (mut confirmed, mut cancelled) = (None, None);
            for FencedBranch { action, state, .. } in branches {
                match (state.as_str(), action.as_str()) {
                    ("confirmed", _) => confirmed = Some(action),
                    // The order may be bought without its coupon.
                    ("cancelled", "coupons.lock") => {}
                    ("cancelled", _) => cancelled = Some(action),
                    _ => violations.push(format!("transaction {tx}: {action} is {state}, and not settled")),
                }
            }
            if let (Some(confirmed), Some(cancelled)) = (confirmed, cancelled) {
                violations.push(format!(
                    "transaction {tx} is both: {confirmed} is confirmed, and {cancelled} is cancelled"
                ));
            }
        }
    }
}

async fn rows<T>(db: &mut SqliteConnection, sql: &'static str) -> Result<Vec<T>, sqlx::Error>
where
    T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
{
    sqlx::query_as(sql).fetch_all(db).await
}

fn count<'a>(orders: impl Iterator<Item = &'a String>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for order in orders {
        *counts.entry(order.as_str()).or_default() += 1;
    }
    counts
}
