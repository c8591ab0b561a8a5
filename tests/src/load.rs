//! The load under which things are killed: customers of the shop who buy, are refused, hang up and give back.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use shop::{Cents, CheckoutError, GROUP, Order, Participants, RefundError, Seed, Shop};
use tcc_core::participant::{Delivery, Intercept, Lost};
use tcc_core::protocol::TxId;
use tcc_core::store::{BoxError, StatusStore};
use tcc_core::{Backoff, Branch, Builder, Coordinator, Register, Registry, Service, TransactionError};
use tcc_redis::RedisStore;
use tcc_sqlx::sqlite::SqliteStore;

/// How long a checkout of the load may stay undecided: what a killed process leaves is cancelled after that.
pub const TIMEOUT: Duration = Duration::from_millis(700);
/// For how long what a killed process was settling is left alone.
pub const LEASE: Duration = Duration::from_millis(400);

/// Where logs are kept, in a form that goes through a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A namespace of a Redis server.
    Redis {
        /// The server.
        url: String,
        /// The namespace.
        namespace: String,
    },
    /// A SQLite file.
    Sqlite {
        /// Its path.
        path: String,
    },
}

impl Place {
    /// Opens the store.
    ///
    /// # Errors
    /// If the server does not answer, or the file can't be used.
    pub async fn open(&self) -> Result<Arc<dyn StatusStore>, BoxError> {
        Ok(match self {
            Self::Redis { url, namespace } => {
                Arc::new(RedisStore::builder(url).namespace(namespace).connect().await?)
            }
            Self::Sqlite { path } => Arc::new(SqliteStore::open(path).await?),
        })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Redis { url, namespace } => write!(f, "{url}#{namespace}"),
            Self::Sqlite { path } => write!(f, "sqlite:{path}"),
        }
    }
}

impl FromStr for Place {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return Ok(Self::Sqlite { path: path.to_owned() });
        }
        let (url, namespace) = text.split_once('#').ok_or("expected redis://…#namespace or sqlite:path")?;
        Ok(Self::Redis { url: url.to_owned(), namespace: namespace.to_owned() })
    }
}

/// The shop that is fought over: enough for some minutes, with something scarce in it.
pub fn stock() -> Seed {
    Seed {
        stock: vec![
            ("teapot".into(), Cents(1_990), 1_000_000),
            ("lamp".into(), Cents(12_000), 1_000_000),
            ("carpet".into(), Cents(90_000), 5),
        ],
        customers: vec![("ann".into(), Cents(90_000_000_000)), ("bob".into(), Cents(15_000))],
        coupons: (0..COUPONS).map(|number| (coupon(number), Cents(500))).collect(),
    }
}

/// How many coupons there are: fewer than customers who want one.
const COUPONS: u32 = 40;

fn coupon(number: u32) -> String {
    format!("COUPON-{number}")
}

/// The services, opened in a folder.
///
/// # Errors
/// If a database can't be used.
pub async fn services(dir: &Path) -> Result<Participants, BoxError> {
    Ok(Participants::open_with(dir, &stock()).await?)
}

/// A coordinator of the shop, with times that make a test short.
pub fn builder(store: impl StatusStore) -> Builder {
    Coordinator::builder(GROUP, store)
        .timeout(TIMEOUT)
        .lease(LEASE)
        .call_timeout(Duration::from_millis(500))
        .store_timeout(Duration::from_millis(500))
        .backoff(Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(200) })
}

/// Registers all services so that each call of theirs passes `intercept`.
pub fn register(builder: Builder, services: &Participants, intercept: &Arc<dyn Intercept>) -> Builder {
    builder
        .register(Intercepted(services.orders.clone(), intercept.clone()))
        .register(Intercepted(services.inventory.clone(), intercept.clone()))
        .register(Intercepted(services.wallet.clone(), intercept.clone()))
        .register(Intercepted(services.coupons.clone(), intercept.clone()))
        .register(Intercepted(services.mail.clone(), intercept.clone()))
}

struct Intercepted<S>(Arc<S>, Arc<dyn Intercept>);

impl<S: Service> Register for Intercepted<S> {
    fn register_in(self, registry: &mut Registry) {
        registry.add_intercepted(self.0, self.1);
    }
}

/// What a customer was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Bought.
    Bought {
        /// The order.
        order: Order,
        /// The transaction.
        tx: TxId,
    },
    /// Given back.
    Refunded {
        /// The transaction.
        tx: TxId,
    },
    /// A service refused, or could not tell: nothing was bought.
    Refused {
        /// The order.
        order: Order,
    },
    /// The transaction did not confirm, for sure.
    Failed {
        /// The transaction, if there is one.
        tx: Option<TxId>,
    },
    /// It is not known whether it is bought.
    InDoubt {
        /// The transaction.
        tx: TxId,
    },
    /// She did not wait.
    HungUp,
}

impl Told {
    /// In one word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Bought { .. } => "bought",
            Self::Refunded { .. } => "refunded",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
            Self::InDoubt { .. } => "doubt",
            Self::HungUp => "hung-up",
        }
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bought { order, tx } => write!(f, "bought {} {tx}", json(order)),
            Self::Refunded { tx } => write!(f, "refunded {tx}"),
            Self::Refused { order } => write!(f, "refused {}", json(order)),
            Self::Failed { tx: Some(tx) } => write!(f, "failed {tx}"),
            Self::Failed { tx: None } => write!(f, "failed"),
            Self::InDoubt { tx } => write!(f, "doubt {tx}"),
            Self::HungUp => write!(f, "hung-up"),
        }
    }
}

impl FromStr for Told {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let tx = |text: &str| text.parse::<TxId>();
        Ok(match text.split(' ').collect::<Vec<_>>()[..] {
            ["bought", order, id] => Self::Bought { order: serde_json::from_str(order)?, tx: tx(id)? },
            ["refunded", id] => Self::Refunded { tx: tx(id)? },
            ["refused", order] => Self::Refused { order: serde_json::from_str(order)? },
            ["failed", id] => Self::Failed { tx: Some(tx(id)?) },
            ["failed"] => Self::Failed { tx: None },
            ["doubt", id] => Self::InDoubt { tx: tx(id)? },
            ["hung-up"] => Self::HungUp,
            _ => return Err(format!("nobody is told {text:?}").into()),
        })
    }
}

/// Without a space in it.
fn json(order: &Order) -> String {
    serde_json::to_string(order).expect("an order can be written as JSON")
}

fn told_of_failure(error: &TransactionError) -> Told {
    match error {
        TransactionError::InDoubt { id, .. } => Told::InDoubt { tx: *id },
        other => Told::Failed { tx: other.id() },
    }
}

/// A customer who comes again and again.
pub struct Customer {
    shop: Shop,
    name: String,
    random: fastrand::Rng,
    bought: Vec<String>,
    orders: u32,
}

impl Customer {
    /// A customer whose order numbers begin with her name.
    pub fn new(shop: &Shop, name: String, random: fastrand::Rng) -> Self {
        Self { shop: shop.clone(), name, random, bought: Vec::new(), orders: 0 }
    }

    /// One visit.
    pub async fn visit(&mut self) -> Told {
        self.orders += 1;
        let id = format!("{}-{}", self.name, self.orders);
        let plain = Order::new(id, "ann", "teapot", self.random.u32(1..4));
        match self.random.u32(..16) {
            0..6 => self.buy(plain).await,
            6..9 => {
                let code = coupon(self.random.u32(..COUPONS));
                self.buy(plain.with_coupon(code)).await
            }
            9 => self.buy(Order { pieces: 2_000_000, ..plain }).await,
            10 => self.buy(Order { sku: "carpet".into(), pieces: 1, ..plain }).await,
            11 | 12 => self.buy(Order { customer: "bob".into(), sku: "lamp".into(), ..plain }).await,
            13 => self.hang_up(plain).await,
            _ if self.bought.is_empty() => self.buy(plain).await,
            _ => {
                let order = self.bought.swap_remove(self.random.usize(..self.bought.len()));
                self.refund(order).await
            }
        }
    }

    async fn buy(&mut self, order: Order) -> Told {
        match self.shop.checkout(order.clone()).await {
            Ok(receipt) => {
                self.bought.push(order.id.clone());
                Told::Bought { order, tx: receipt.tx }
            }
            Err(error) => match error_of_checkout(&error) {
                Some(error) => told_of_failure(error),
                None => Told::Refused { order },
            },
        }
    }

    async fn hang_up(&mut self, order: Order) -> Told {
        let patience = Duration::from_micros(self.random.u64(..20_000));
        match tokio::time::timeout(patience, self.buy(order)).await {
            Ok(told) => told,
            Err(_) => Told::HungUp,
        }
    }

    async fn refund(&mut self, order: String) -> Told {
        match self.shop.refund(order).await {
            Ok(refunded) => Told::Refunded { tx: refunded.tx },
            Err(RefundError::Transaction(error)) => told_of_failure(&error),
            // Told without a transaction's id; the audit shows whether the order is in one piece.
            Err(_) => Told::Failed { tx: None },
        }
    }
}

/// The transaction's own error, wherever it came up.
pub fn error_of_checkout(error: &CheckoutError) -> Option<&TransactionError> {
    use tcc_core::BranchError::Transaction;
    match error {
        CheckoutError::Transaction(error)
        | CheckoutError::Stock(Transaction(error))
        | CheckoutError::Coupon(Transaction(error))
        | CheckoutError::Payment(Transaction(error))
        | CheckoutError::Order(Transaction(error)) => Some(error),
        _ => None,
    }
}

/// Loses an answer, or delivers a call twice, now and then; and tells of each call.
pub struct Network<T> {
    /// Of a thousand calls, so many are delivered twice, and of so many the answer is lost.
    pub faults: u32,
    /// Told of each call before and after it is served.
    pub tell: T,
}

impl<T: Fn(&'static str, &Branch) + Send + Sync + 'static> Intercept for Network<T> {
    fn call<'a>(&'a self, call: &'a Delivery) -> BoxFuture<'a, Result<(), Lost>> {
        Box::pin(async move {
            (self.tell)("asked", call.branch());
            if self.strikes() {
                call.deliver().await;
            }
            call.deliver().await;
            (self.tell)("done", call.branch());
            if self.strikes() { Err(Lost { what: "the answer, by plan".into() }) } else { Ok(()) }
        })
    }
}

impl<T> Network<T> {
    fn strikes(&self) -> bool {
        fastrand::u32(..1000) < self.faults
    }
}
