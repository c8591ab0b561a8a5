//! Who has how much money: balance and frozen.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use tcc_core::{Branch, Settled, Tried, participant, refuse};
use tcc_sqlx::Fenced;

use crate::database::{self, OpenError, Seed};
use crate::money::Cents;

pub(crate) const FILE: &str = "wallet.db";

/// The account of the shop itself.
pub const TILL: &str = "till";

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS accounts (
    owner   TEXT    PRIMARY KEY,
    paid_in INTEGER NOT NULL,
    balance INTEGER NOT NULL CHECK (balance >= 0),
    frozen  INTEGER NOT NULL DEFAULT 0 CHECK (frozen >= 0)
) STRICT;
CREATE TABLE IF NOT EXISTS payments (
    id       INTEGER PRIMARY KEY,
    order_id TEXT    NOT NULL,
    payer    TEXT    NOT NULL,
    payee    TEXT    NOT NULL,
    amount   INTEGER NOT NULL
) STRICT;";

/// Money from one account to another, for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// For which order.
    pub order: String,
    /// Whose money.
    pub payer: String,
    /// Who gets it.
    pub payee: String,
    /// How much.
    pub amount: Cents,
}

/// Why a payment is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum PaymentError {
    /// There is too little.
    #[error("{owner} has {balance}, which is too little")]
    Short {
        /// Whose account.
        owner: String,
        /// What is in it.
        balance: Cents,
    },
    /// There is no such account.
    #[error("{0} has no wallet here")]
    Unknown(String),
}

/// The bank.
#[derive(Debug)]
pub struct Wallet {
    db: SqlitePool,
}

#[participant("wallet")]
impl Wallet {
    /// Freezes an amount until the order settles.
    #[action(confirm = settle, cancel = release)]
    pub async fn freeze(&self, cx: &Branch, payment: Payment) -> Tried<(), PaymentError> {
        cx.fenced(&self.db, async |db| {
            for owner in [&payment.payee, &payment.payer] {
                let balance: Option<Cents> =
                    sqlx::query_scalar("SELECT balance FROM accounts WHERE owner = ?")
                        .bind(owner)
                        .fetch_optional(&mut *db)
                        .await?;
                let Some(balance) = balance else { return refuse(PaymentError::Unknown(owner.clone())) };
                if owner == &payment.payer && balance < payment.amount {
                    return refuse(PaymentError::Short { owner: owner.clone(), balance });
                }
            }
            sqlx::query("UPDATE accounts SET balance = balance - ?1, frozen = frozen + ?1 WHERE owner = ?2")
                .bind(payment.amount)
                .bind(&payment.payer)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }

    async fn settle(&self, cx: &Branch, payment: Payment, (): ()) -> Settled {
        cx.fenced(&self.db, async |db| {
            sqlx::query("UPDATE accounts SET frozen = frozen - ? WHERE owner = ?")
                .bind(payment.amount)
                .bind(&payment.payer)
                .execute(&mut *db)
                .await?;
            sqlx::query("UPDATE accounts SET balance = balance + ? WHERE owner = ?")
                .bind(payment.amount)
                .bind(&payment.payee)
                .execute(&mut *db)
                .await?;
            sqlx::query("INSERT INTO payments (order_id, payer, payee, amount) VALUES (?, ?, ?, ?)")
                .bind(&payment.order)
                .bind(&payment.payer)
                .bind(&payment.payee)
                .bind(payment.amount)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }

    async fn release(&self, cx: &Branch, payment: Payment, _: Option<()>) -> Settled {
        cx.fenced(&self.db, async |db| {
            sqlx::query("UPDATE accounts SET balance = balance + ?1, frozen = frozen - ?1 WHERE owner = ?2")
                .bind(payment.amount)
                .bind(&payment.payer)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }
}

impl Wallet {
    pub(super) async fn open(dir: &Path, seed: &Seed) -> Result<Self, OpenError> {
        let db = database::open(dir.join(FILE), TABLES, async |db| {
            let customers = seed.customers.iter().map(|(owner, amount)| (owner.as_str(), *amount));
            for (owner, amount) in customers.chain([(TILL, Cents(0))]) {
                sqlx::query(
                    "INSERT INTO accounts (owner, paid_in, balance) VALUES (?1, ?2, ?2) \
                     ON CONFLICT (owner) DO NOTHING",
                )
                .bind(owner)
                .bind(amount)
                .execute(&mut *db)
                .await?;
            }
            Ok(())
        });
        Ok(Self { db: db.await? })
    }
}
