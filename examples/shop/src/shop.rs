//! The business operations: each is one transaction over several services.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tcc_core::protocol::TxId;
use tcc_core::store::StatusStore;
use tcc_core::{BranchError, Coordinator, TransactionError, Tx, transactional};

use crate::database::OpenError;
use crate::money::Cents;
use crate::participants::{
    CouponError, CouponUse, Coupons, Inventory, Letter, Mail, OrderError, Orders, Participants, Payment,
    PaymentError, Pieces, Sale, StockError, TILL, Wallet,
};

/// The group of all instances of the shop that share a store.
pub const GROUP: &str = "shop";

/// What a customer wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Her own number of the order. The same order sent twice is bought once.
    pub id: String,
    /// Who buys.
    pub customer: String,
    /// What.
    pub sku: String,
    /// How many.
    pub pieces: u32,
    /// A coupon, if she has one. If it is refused, the order is bought without it.
    pub coupon: Option<String>,
}

impl Order {
    /// An order without a coupon.
    pub fn new(
        id: impl Into<String>,
        customer: impl Into<String>,
        sku: impl Into<String>,
        pieces: u32,
    ) -> Self {
        Self { id: id.into(), customer: customer.into(), sku: sku.into(), pieces, coupon: None }
    }

    /// The same order, with a coupon.
    #[must_use]
    pub fn with_coupon(mut self, code: impl Into<String>) -> Self {
        self.coupon = Some(code.into());
        self
    }
}

/// What a customer is told of her order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The transaction.
    pub tx: TxId,
    /// The order's number.
    pub order: String,
    /// What was paid.
    pub total: Cents,
    /// The coupon that was used.
    pub coupon: Option<String>,
}

/// What a customer is told of her refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refunded {
    /// The transaction.
    pub tx: TxId,
    /// The order's number.
    pub order: String,
    /// What was paid back.
    pub amount: Cents,
}

/// Why nothing was bought.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckoutError {
    /// The inventory did not put the pieces aside.
    #[error("inventory: {0}")]
    Stock(#[from] BranchError<StockError>),
    /// It is not known whether the coupon was locked.
    #[error("coupon: {0}")]
    Coupon(#[from] BranchError<CouponError>),
    /// The wallet did not freeze the price.
    #[error("wallet: {0}")]
    Payment(#[from] BranchError<PaymentError>),
    /// The order could not be written down.
    #[error("orders: {0}")]
    Order(#[from] BranchError<OrderError>),
    /// The transaction itself did not confirm.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

/// Why nothing was paid back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefundError {
    /// The order can't be taken back.
    #[error("orders: {0}")]
    Order(#[from] BranchError<OrderError>),
    /// The till did not give the money.
    #[error("wallet: {0}")]
    Payment(#[from] BranchError<PaymentError>),
    /// The transaction itself did not confirm.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

/// Why the shop did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A database can't be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The coordinator did not start.
    #[error("the coordinator did not start")]
    Coordinator(#[from] tcc_core::StartError),
}

/// The shop: its business operations.
#[derive(Debug, Clone)]
pub struct Shop {
    tcc: Coordinator,
}

impl Shop {
    /// Opens the databases in a folder, and starts a coordinator on a store with the default settings. Several
    /// processes may share both.
    ///
    /// # Errors
    /// [`StartError`] says what can't be used.
    pub async fn open(dir: impl AsRef<Path>, store: impl StatusStore) -> Result<Self, StartError> {
        let participants = Participants::open(dir).await?;
        let builder = Coordinator::builder(GROUP, store);
        Ok(Self::new(participants.register(builder).start().await?))
    }

    /// The shop on a coordinator that knows its [`Participants`].
    pub fn new(tcc: Coordinator) -> Self {
        Self { tcc }
    }

    /// What runs its transactions.
    pub fn coordinator(&self) -> &Coordinator {
        &self.tcc
    }

    /// Buys an order: pieces, coupon and money are put aside, and then all taken, or all given back.
    ///
    /// The same order again returns the same receipt, and buys nothing.
    ///
    /// # Errors
    /// [`CheckoutError`] says who refused. Then nothing was bought, unless it is
    /// [`InDoubt`](TransactionError::InDoubt).
    #[transactional(key = order.id)]
    pub async fn checkout(&self, tx: &Tx, order: Order) -> Result<Receipt, CheckoutError> {
        let Order { id, customer, sku, pieces, coupon } = order;
        let want = Pieces { order: id.clone(), sku: sku.clone(), pieces };
        // Branches that start together cost one write of the log.
        let (priced, discount) = tokio::try_join!(
            async { Ok::<_, CheckoutError>(tx.on::<Inventory>().reserve(want).await?) },
            discount(tx, &id, coupon.as_deref()),
        )?;
        let coupon = coupon.filter(|_| discount.is_some());
        let total = (priced.price - discount.unwrap_or_default()).max(Cents(0));
        let sale = Sale { order: id.clone(), customer: customer.clone(), sku, pieces, coupon, total };
        let letter = Letter { order: id.clone(), customer: customer.clone(), amount: total };
        let payment = Payment { order: id.clone(), payer: customer, payee: TILL.into(), amount: total };
        tokio::try_join!(
            async { Ok::<_, CheckoutError>(tx.on::<Wallet>().freeze(payment).await?) },
            async { Ok::<_, CheckoutError>(tx.on::<Orders>().place(sale.clone()).await?) },
        )?;
        tx.on::<Mail>().receipt(letter).await?;
        Ok(Receipt { tx: tx.id(), order: id, total, coupon: sale.coupon })
    }

    /// Takes a paid order back: the pieces return to the shelf, the money to the customer. A used coupon stays used.
    ///
    /// # Errors
    /// [`RefundError`] says who refused. Then nothing was paid back, unless it is
    /// [`InDoubt`](TransactionError::InDoubt).
    #[transactional]
    pub async fn refund(&self, tx: &Tx, order: String) -> Result<Refunded, RefundError> {
        let Sale { customer, sku, pieces, total: amount, .. } =
            tx.on::<Orders>().take_back(order.clone()).await?;
        let (payer, payee) = (TILL.to_owned(), customer.clone());
        tx.on::<Wallet>().freeze(Payment { order: order.clone(), payer, payee, amount }).await?;
        tx.on::<Inventory>().take_back(Pieces { order: order.clone(), sku, pieces }).await?;
        tx.on::<Mail>().credit_note(Letter { order: order.clone(), customer, amount }).await?;
        Ok(Refunded { tx: tx.id(), order, amount })
    }
}

/// What the coupon takes off; `None` if there is none, or if it is refused: then the order is bought without it.
async fn discount(tx: &Tx, order: &str, code: Option<&str>) -> Result<Option<Cents>, CheckoutError> {
    let Some(code) = code else { return Ok(None) };
    match tx.on::<Coupons>().lock(CouponUse { order: order.into(), code: code.into() }).await {
        Ok(discount) => Ok(Some(discount.amount)),
        Err(BranchError::Refused(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
