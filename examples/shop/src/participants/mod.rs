//! The five services.

mod coupons;
mod inventory;
mod mail;
mod orders;
mod wallet;

use std::path::Path;
use std::sync::Arc;

pub use coupons::{CouponError, CouponUse, Coupons, CouponsLock, Discount};
pub use inventory::{Inventory, InventoryReserve, InventoryTakeBack, Pieces, Priced, StockError};
pub use mail::{Letter, Mail, MailCreditNote, MailReceipt};
pub use orders::{OrderError, Orders, OrdersPlace, OrdersTakeBack, Sale};
use tcc_core::Builder;
pub use wallet::{Payment, PaymentError, TILL, Wallet, WalletFreeze};

use crate::database::{self, OpenError, Seed};

pub(crate) use {
    coupons::FILE as COUPONS, inventory::FILE as INVENTORY, mail::FILE as MAIL, orders::FILE as ORDERS,
    wallet::FILE as WALLET,
};

/// All databases.
pub(crate) const FILES: [&str; 5] = [ORDERS, INVENTORY, WALLET, COUPONS, MAIL];

/// The five services, each with its own database.
#[derive(Debug, Clone)]
pub struct Participants {
    /// What was ordered.
    pub orders: Arc<Orders>,
    /// What there is to sell.
    pub inventory: Arc<Inventory>,
    /// Who has how much money.
    pub wallet: Arc<Wallet>,
    /// Which coupons may be used.
    pub coupons: Arc<Coupons>,
    /// What was sent to customers.
    pub mail: Arc<Mail>,
}

impl Participants {
    /// Opens the databases in a folder. What is missing is made, with what a new shop has by default.
    ///
    /// Several processes may have the same folder open at once.
    ///
    /// # Errors
    /// [`OpenError`] says which can't be used.
    pub async fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(dir, &Seed::default()).await
    }

    /// The same, and a new shop has this.
    ///
    /// # Errors
    /// [`OpenError`] says which can't be used.
    pub async fn open_with(dir: impl AsRef<Path>, seed: &Seed) -> Result<Self, OpenError> {
        let dir = dir.as_ref();
        let _held = database::hold(dir).await?;
        Ok(Self {
            orders: Arc::new(Orders::open(dir).await?),
            inventory: Arc::new(Inventory::open(dir, seed).await?),
            wallet: Arc::new(Wallet::open(dir, seed).await?),
            coupons: Arc::new(Coupons::open(dir, seed).await?),
            mail: Arc::new(Mail::open(dir).await?),
        })
    }

    /// Registers all five with a coordinator.
    pub fn register(&self, builder: Builder) -> Builder {
        builder
            .register(self.orders.clone())
            .register(self.inventory.clone())
            .register(self.wallet.clone())
            .register(self.coupons.clone())
            .register(self.mail.clone())
    }
}
