//! What the cases have in common, so that each shows nothing but its mistake.

pub use async_trait::async_trait;
pub use serde::{Deserialize, Serialize};
pub use tcc_core::{
    Branch, BranchError, Builder, Coordinator, Registry, Settled, TransactionError, Tried, Tx, action,
    on_confirm, participant, refuse, transactional,
};

/// A request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reserve {
    /// What.
    pub sku: String,
}

/// What its try returns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hold {
    /// Which.
    pub id: u64,
}

/// What its try refuses with.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[error("out of stock")]
pub struct StockError;

/// A service.
pub struct Inventory;

/// One that has a coordinator.
pub struct Shop {
    /// Where it is expected.
    pub tcc: Coordinator,
}

/// What its methods fail with.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// A branch.
    #[error(transparent)]
    Stock(#[from] BranchError<StockError>),
    /// The transaction.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}
