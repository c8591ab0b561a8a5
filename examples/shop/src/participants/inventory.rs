//! What there is to sell: available, frozen, sold.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use tcc_core::{Branch, Settled, Tried, participant, refuse};
use tcc_sqlx::Fenced;

use crate::database::{self, OpenError, Seed};
use crate::money::Cents;

pub(crate) const FILE: &str = "inventory.db";

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS stock (
    sku       TEXT    PRIMARY KEY,
    price     INTEGER NOT NULL CHECK (price >= 0),
    received  INTEGER NOT NULL,
    available INTEGER NOT NULL CHECK (available >= 0),
    frozen    INTEGER NOT NULL DEFAULT 0 CHECK (frozen >= 0)
) STRICT;
CREATE TABLE IF NOT EXISTS shipments (
    id       INTEGER PRIMARY KEY,
    order_id TEXT    NOT NULL,
    sku      TEXT    NOT NULL,
    pieces   INTEGER NOT NULL CHECK (pieces <> 0) -- below 0: they came back
) STRICT;";

/// Pieces of an article, for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pieces {
    /// For which order.
    pub order: String,
    /// Of what.
    pub sku: String,
    /// How many.
    pub pieces: u32,
}

/// What the pieces cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priced {
    /// All of them.
    pub price: Cents,
}

/// Why pieces can't be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum StockError {
    /// There are too few.
    #[error("too few pieces of {sku}: {available} are available")]
    Short {
        /// Of what.
        sku: String,
        /// How many there are.
        available: u32,
    },
    /// The article is not sold here.
    #[error("there is no article {0}")]
    Unknown(String),
    /// It is no order.
    #[error("an order is of one piece or more")]
    Nothing,
}

/// The warehouse.
#[derive(Debug)]
pub struct Inventory {
    db: SqlitePool,
}

#[participant("inventory")]
impl Inventory {
    /// Puts pieces aside until the order settles, and says what they cost.
    #[action(confirm = ship, cancel = release)]
    pub async fn reserve(&self, cx: &Branch, want: Pieces) -> Tried<Priced, StockError> {
        cx.fenced(&self.db, async |db| {
            if want.pieces == 0 {
                return refuse(StockError::Nothing);
            }
            let stock: Option<(Cents, u32)> =
                sqlx::query_as("SELECT price, available FROM stock WHERE sku = ?")
                    .bind(&want.sku)
                    .fetch_optional(&mut *db)
                    .await?;
            let Some((price, available)) = stock else { return refuse(StockError::Unknown(want.sku)) };
            if available < want.pieces {
                return refuse(StockError::Short { sku: want.sku, available });
            }
            sqlx::query("UPDATE stock SET available = available - ?1, frozen = frozen + ?1 WHERE sku = ?2")
                .bind(want.pieces)
                .bind(&want.sku)
                .execute(&mut *db)
                .await?;
            Ok(Priced { price: price * want.pieces })
        })
        .await
    }

    async fn ship(&self, cx: &Branch, want: Pieces, _: Priced) -> Settled {
        cx.fenced(&self.db, async |db| {
            sqlx::query("UPDATE stock SET frozen = frozen - ? WHERE sku = ?")
                .bind(want.pieces)
                .bind(&want.sku)
                .execute(&mut *db)
                .await?;
            sqlx::query("INSERT INTO shipments (order_id, sku, pieces) VALUES (?, ?, ?)")
                .bind(&want.order)
                .bind(&want.sku)
                .bind(want.pieces)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }

    async fn release(&self, cx: &Branch, want: Pieces, _: Option<Priced>) -> Settled {
        cx.fenced(&self.db, async |db| {
            sqlx::query("UPDATE stock SET available = available + ?1, frozen = frozen - ?1 WHERE sku = ?2")
                .bind(want.pieces)
                .bind(&want.sku)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }

    /// Takes pieces back once the refund is certain. It is always possible, so nothing is to be tried or undone.
    #[on_confirm]
    pub async fn take_back(&self, cx: &Branch, back: Pieces) -> Settled {
        cx.fenced(&self.db, async |db| {
            sqlx::query("UPDATE stock SET available = available + ? WHERE sku = ?")
                .bind(back.pieces)
                .bind(&back.sku)
                .execute(&mut *db)
                .await?;
            sqlx::query("INSERT INTO shipments (order_id, sku, pieces) VALUES (?, ?, -?)")
                .bind(&back.order)
                .bind(&back.sku)
                .bind(back.pieces)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }
}

impl Inventory {
    pub(super) async fn open(dir: &Path, seed: &Seed) -> Result<Self, OpenError> {
        let db = database::open(dir.join(FILE), TABLES, async |db| {
            for (sku, price, pieces) in &seed.stock {
                sqlx::query(
                    "INSERT INTO stock (sku, price, received, available) VALUES (?1, ?2, ?3, ?3) \
                     ON CONFLICT (sku) DO NOTHING",
                )
                .bind(sku)
                .bind(price)
                .bind(pieces)
                .execute(&mut *db)
                .await?;
            }
            Ok(())
        });
        Ok(Self { db: db.await? })
    }
}
