//! `#[transactional]` in every form in which it may be written. Each is spawned: its future is `Send`.

// What only the attribute uses is used.
#![deny(unused_variables)]

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tcc_core::store::MemoryStore;
use tcc_core::{
    Branch, BranchError, Coordinator, Duplicate, Never, Settled, TransactionError, Tried, Tx, participant,
    transactional,
};

struct Counter;

#[participant("counter")]
impl Counter {
    #[action(cancel = none)]
    async fn add(&self, _: &Branch, n: u64) -> Tried<u64, Never> {
        tokio::task::yield_now().await;
        Ok(n + 1)
    }

    #[on_confirm]
    async fn tell(&self, _: &Branch, _: String) -> Settled {
        Ok(())
    }
}

#[derive(Debug)]
enum Failed {
    Branch,
    Transaction(TransactionError),
}

impl From<TransactionError> for Failed {
    fn from(error: TransactionError) -> Self {
        Self::Transaction(error)
    }
}

impl From<BranchError<Never>> for Failed {
    fn from(_: BranchError<Never>) -> Self {
        Self::Branch
    }
}

async fn coordinator() -> Coordinator {
    Coordinator::builder("shop", MemoryStore::default()).register(Counter).start().await.unwrap()
}

fn spawned<F: Future<Output: Send> + Send + 'static>(future: F) -> tokio::task::JoinHandle<F::Output> {
    tokio::spawn(future)
}

/// A request that borrows: the transaction does not outlive it.
#[derive(Serialize)]
struct Order<'a> {
    sku: &'a str,
    id: u64,
    note: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Receipt(u64, String);

struct Shop {
    tcc: Coordinator,
}

impl Shop {
    /// Buys.
    #[transactional(name = "checkout", timeout = "30s", key = order.id)]
    async fn checkout(&self, tx: &Tx, mut order: Order<'_>) -> Result<Receipt, Failed> {
        let id = tx.on::<Counter>().add(order.id).await?;
        if order.sku == "early" {
            return Ok(Receipt(0, order.note));
        }
        tx.on::<Counter>().tell(order.sku.to_owned()).await?;
        order.note.push('!');
        Ok(Receipt(id, order.note))
    }

    /// Joins in the middle of another.
    #[transactional]
    async fn twice(&self, tx: &Tx, sku: &str) -> Result<u64, Failed> {
        let order = |id| Order { sku, id, note: String::new() };
        let (one, two) = tokio::try_join!(self.checkout_in(tx, order(1)), self.checkout_in(tx, order(2)))?;
        Ok(one.0 + two.0)
    }

    #[transactional]
    async fn nested(&self, tx: &Tx, sku: &str) -> Result<u64, Failed> {
        tx.on::<Counter>().add(1).await?;
        self.twice(sku).await
    }

    #[transactional(independent)]
    async fn by_itself(&self, tx: &Tx) -> Result<u64, Failed> {
        Ok(tx.on::<Counter>().add(10).await?)
    }

    #[transactional]
    async fn around(&self, tx: &Tx) -> Result<u64, Failed> {
        Ok(tx.on::<Counter>().add(self.by_itself().await?).await?)
    }
}

#[tokio::test]
async fn a_method_runs_joins_and_is_keyed() {
    let shop = Arc::new(Shop { tcc: coordinator().await });
    fn order(id: u64, sku: &str) -> Order<'_> {
        Order { sku, id, note: "n".to_owned() }
    }

    let it = shop.clone();
    let first = spawned(async move {
        let sku = String::from("b");
        it.checkout(order(1, &sku)).await
    });
    let first = first.await.unwrap().unwrap();
    assert_eq!(first, Receipt(2, "n!".to_owned()));
    assert_eq!(shop.checkout(order(1, "b")).await.unwrap(), first, "the same call has the same answer");
    let other = shop.checkout(order(1, "other")).await;
    let why = Duplicate::AnotherRequest;
    assert!(
        matches!(other, Err(Failed::Transaction(TransactionError::Duplicate { why: is, .. })) if is == why)
    );
    assert_eq!(shop.checkout(order(2, "early")).await.unwrap().0, 0);

    let it = shop.clone();
    assert_eq!(spawned(async move { it.twice("x").await }).await.unwrap().unwrap(), 5);
    let nested = shop.nested("x").await;
    assert!(matches!(nested, Err(Failed::Transaction(TransactionError::Nested { .. }))), "{nested:?}");
    assert_eq!(shop.around().await.unwrap(), 12);
}

/// One that changes itself, and takes its arguments apart.
struct Cart {
    tcc: Arc<Coordinator>,
    items: Vec<u64>,
}

impl Cart {
    #[transactional]
    async fn empty(&mut self, tx: &Tx, (a, mut b): (u64, Vec<u64>)) -> Result<u64, Failed> {
        while let Some(item) = self.items.pop() {
            b.push(tx.on::<Counter>().add(item).await?);
        }
        Ok(a + b.iter().sum::<u64>())
    }

    #[transactional]
    async fn consume(self, tx: &Tx) -> Result<u64, Failed> {
        let Self { tcc: _, items } = self;
        Ok(tx.on::<Counter>().add(items[0]).await?)
    }

    #[transactional(name = "by-arc", on = *self.tcc)]
    async fn shared(self: Arc<Self>, tx: &Tx) -> Result<u64, Failed> {
        Ok(tx.on::<Counter>().add(self.items[0]).await?)
    }
}

#[tokio::test]
async fn self_may_be_taken_in_any_way() {
    let tcc = Arc::new(coordinator().await);
    let cart = |items| Cart { tcc: tcc.clone(), items };
    let mut first = cart(vec![1, 2]);
    let sum = spawned(async move { first.empty((100, vec![10])).await });
    assert_eq!(sum.await.unwrap().unwrap(), 115);
    let second = cart(vec![7]);
    assert_eq!(spawned(async move { second.consume().await }).await.unwrap().unwrap(), 8);
    let third = Arc::new(cart(vec![8]));
    assert_eq!(spawned(async move { third.shared().await }).await.unwrap().unwrap(), 9);
}

#[transactional(on = tcc)]
async fn free(tx: &Tx, tcc: &Coordinator, n: u64) -> Result<u64, Failed> {
    let _ = tcc.group();
    Ok(tx.on::<Counter>().add(n).await?)
}

#[derive(Clone)]
struct App {
    tcc: Coordinator,
}

struct State<T>(T);
struct Json<T>(T);

#[derive(Serialize)]
struct Transfer {
    id: String,
    amount: u64,
}

/// As a web framework's handler is written.
#[transactional(on = app.tcc, key = transfer.id, request = transfer, reuse_after_cancel)]
async fn handler(tx: &Tx, State(app): State<App>, Json(mut transfer): Json<Transfer>) -> Result<u64, Failed> {
    let _ = app.tcc;
    transfer.amount += 1;
    Ok(tx.on::<Counter>().add(transfer.amount).await?)
}

/// Their bodies leave some parameters to the attribute.
mod used_by_the_attribute {
    use super::*;

    #[transactional(on = app.tcc, key = id)]
    pub async fn key_and_coordinator(
        tx: &Tx,
        State(app): State<App>,
        id: u64,
        note: &str,
    ) -> Result<u64, Failed> {
        Ok(tx.on::<Counter>().add(1).await?)
    }

    #[transactional(on = tcc, key = transfer.id, request = amount)]
    pub async fn request(
        tx: &Tx,
        tcc: &Coordinator,
        transfer: Transfer,
        amount: u64,
        n: u64,
    ) -> Result<u64, Failed> {
        Ok(tx.on::<Counter>().add(n).await?)
    }
}

#[tokio::test]
async fn what_only_the_attribute_uses_is_used() {
    use used_by_the_attribute::{key_and_coordinator, request};
    let tcc = coordinator().await;
    let app = || State(App { tcc: tcc.clone() });
    assert_eq!(key_and_coordinator(app(), 1, "a").await.unwrap(), 2);
    assert!(key_and_coordinator(app(), 1, "b").await.is_err(), "the note is part of the request");
    let transfer = || Transfer { id: "t".to_owned(), amount: 1 };
    assert_eq!(request(&tcc, transfer(), 1, 1).await.unwrap(), 2);
    assert_eq!(request(&tcc, transfer(), 1, 5).await.unwrap(), 2, "n is no part of the request");
    assert!(request(&tcc, transfer(), 2, 1).await.is_err());
}

#[tokio::test]
async fn free_functions_name_their_coordinator() {
    let tcc = coordinator().await;
    let app = App { tcc: tcc.clone() };
    assert_eq!(spawned(async move { free(&tcc, 3).await }).await.unwrap().unwrap(), 4);
    let transfer = |amount| Json(Transfer { id: "t".to_owned(), amount });
    let once = app.clone();
    assert_eq!(spawned(handler(State(once), transfer(1))).await.unwrap().unwrap(), 3);
    assert_eq!(handler(State(app.clone()), transfer(1)).await.unwrap(), 3);
    assert!(handler(State(app), transfer(2)).await.is_err());
}

struct Generic<C> {
    tcc: Coordinator,
    c: C,
}

impl<C: Fn() -> u64 + Send + Sync> Generic<C>
where
    C: Clone,
{
    #[transactional(key = key)]
    async fn go<I: AsRef<str> + std::fmt::Display + Serialize + Send + Sync, T>(
        &self,
        tx: &Tx,
        key: I,
    ) -> Result<u64, Failed>
    where
        T: Default + Into<u64> + Send,
    {
        let n: u64 = T::default().into();
        Ok(tx.on::<Counter>().add((self.c)() + n + key.as_ref().len() as u64).await?)
    }
}

#[tokio::test]
async fn parameters_are_handed_on() {
    let generic = Generic { tcc: coordinator().await, c: || 5 };
    assert_eq!(spawned(async move { generic.go::<_, u8>("key").await }).await.unwrap().unwrap(), 9);
}

trait Buy {
    fn buy(&self, sku: &str) -> impl Future<Output = Result<u64, Failed>> + Send;
}

#[transactional]
impl Buy for Shop {
    #[transactional(timeout = "5s")]
    async fn buy(&self, tx: &Tx, sku: &str) -> Result<u64, Failed> {
        if sku.is_empty() {
            return Ok(0);
        }
        Ok(tx.on::<Counter>().add(sku.len() as u64).await?)
    }
}

#[async_trait::async_trait]
trait BuyDynamically: Send + Sync {
    async fn buy_dynamically(&self, count: u64) -> Result<u64, Failed>;
    fn name(&self) -> &'static str;
}

#[transactional]
#[async_trait::async_trait]
impl BuyDynamically for Shop {
    #[transactional(key = count)]
    async fn buy_dynamically(&self, tx: &Tx, mut count: u64) -> Result<u64, Failed> {
        count += self.name().len() as u64;
        Ok(tx.on::<Counter>().add(count).await?)
    }

    fn name(&self) -> &'static str {
        "shop"
    }
}

/// Where nothing is known of the block, an associated function is found through its type.
#[transactional]
impl Shop {
    #[transactional(on = tcc)]
    async fn associated(tx: &Tx, tcc: &Coordinator) -> Result<u64, Failed> {
        Self::helper(tx, tcc.group().as_str().len()).await
    }

    async fn helper(tx: &Tx, n: usize) -> Result<u64, Failed> {
        Ok(tx.on::<Counter>().add(n as u64).await?)
    }
}

#[tokio::test]
async fn a_traits_methods_are_transactions_too() {
    let shop = Arc::new(Shop { tcc: coordinator().await });
    let it = shop.clone();
    assert_eq!(spawned(async move { it.buy("abc").await }).await.unwrap().unwrap(), 4);
    assert_eq!(shop.buy("").await.unwrap(), 0);
    let dynamic: Arc<dyn BuyDynamically> = shop.clone();
    assert_eq!(spawned(async move { dynamic.buy_dynamically(5).await }).await.unwrap().unwrap(), 10);
    assert_eq!(Shop::associated(&shop.tcc).await.unwrap(), 5);
}
