//! A shop whose checkout spans five services, each with a database of its own: it happens everywhere or nowhere.
//!
//! | file | subject |
//! | --- | --- |
//! | `shop` | the business operations: checkout and refund, each one transaction |
//! | `participants/orders` | what was ordered, and what became of it |
//! | `participants/inventory` | pieces: available, frozen, sold |
//! | `participants/wallet` | money: balance and frozen, of the customers and of the shop's till |
//! | `participants/coupons` | coupons: free, locked, used |
//! | `participants/mail` | receipts: they leave only if everything else is confirmed |
//! | `database` | one SQLite file for each participant, and what is in it at first |
//! | `audit` | reads all five, and says what does not add up |
//!
//! ```
//! use shop::{Audit, Order, Shop};
//! use tcc_core::store::MemoryStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let shop = Shop::open(dir, MemoryStore::new()).await?;
//! let receipt = shop.checkout(Order::new("order-1", "ann", "teapot", 2).with_coupon("WELCOME")).await?;
//! assert_eq!(receipt.total.to_string(), "34.80");
//! shop.coordinator().shutdown().await;
//! assert!(Audit::of(dir).await?.is_sound());
//! # Ok(())
//! # }
//! ```

mod audit;
mod database;
mod money;
mod participants;
mod shop;

pub use audit::{Audit, MoneyCount, OrderCount, StockCount};
pub use database::{OpenError, Seed};
pub use money::Cents;
pub use participants::{
    CouponError, CouponUse, Coupons, CouponsLock, Discount, Inventory, InventoryReserve, InventoryTakeBack,
    Letter, Mail, MailCreditNote, MailReceipt, OrderError, Orders, OrdersPlace, OrdersTakeBack, Participants,
    Payment, PaymentError, Pieces, Priced, Sale, StockError, TILL, Wallet, WalletFreeze,
};
pub use shop::{CheckoutError, GROUP, Order, Receipt, RefundError, Refunded, Shop, StartError};
