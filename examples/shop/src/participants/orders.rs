//! What was ordered, and what became of it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row, SqlitePool};
use tcc_core::{Branch, Settled, Tried, participant, refuse};
use tcc_sqlx::Fenced;

use crate::database::{self, OpenError};
use crate::money::Cents;

pub(crate) const FILE: &str = "orders.db";

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS orders (
    id       TEXT    PRIMARY KEY,
    customer TEXT    NOT NULL,
    sku      TEXT    NOT NULL,
    pieces   INTEGER NOT NULL CHECK (pieces > 0),
    coupon   TEXT,
    total    INTEGER NOT NULL CHECK (total >= 0),
    state    TEXT    NOT NULL CHECK (state IN ('placed', 'paid', 'cancelled', 'refunding', 'refunded'))
) STRICT;";

/// An order with its price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    /// The order's id.
    pub order: String,
    /// Who buys.
    pub customer: String,
    /// What.
    pub sku: String,
    /// How many.
    pub pieces: u32,
    /// The coupon that was used.
    pub coupon: Option<String>,
    /// The price, the coupon taken off.
    pub total: Cents,
}

impl FromRow<'_, SqliteRow> for Sale {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            order: row.try_get("id")?,
            customer: row.try_get("customer")?,
            sku: row.try_get("sku")?,
            pieces: row.try_get("pieces")?,
            coupon: row.try_get("coupon")?,
            total: row.try_get("total")?,
        })
    }
}

/// Why an order is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum OrderError {
    /// Another order has this id.
    #[error("there is an order {0} already")]
    Exists(String),
    /// It can't be given back.
    #[error("order {0} is not paid: there is nothing to give back")]
    NotPaid(String),
}

/// The book of orders.
#[derive(Debug)]
pub struct Orders {
    db: SqlitePool,
}

#[participant("orders")]
impl Orders {
    /// Writes an order down. It is paid once the transaction confirms.
    #[action(confirm = paid, cancel = cancelled)]
    pub async fn place(&self, cx: &Branch, sale: Sale) -> Tried<(), OrderError> {
        cx.fenced(&self.db, async |db| {
            let placed = sqlx::query(
                "INSERT INTO orders (id, customer, sku, pieces, coupon, total, state) \
                 VALUES (?, ?, ?, ?, ?, ?, 'placed') ON CONFLICT (id) DO NOTHING",
            )
            .bind(&sale.order)
            .bind(&sale.customer)
            .bind(&sale.sku)
            .bind(sale.pieces)
            .bind(&sale.coupon)
            .bind(sale.total)
            .execute(&mut *db)
            .await?;
            if placed.rows_affected() == 0 {
                return refuse(OrderError::Exists(sale.order));
            }
            Ok(())
        })
        .await
    }

    async fn paid(&self, cx: &Branch, sale: Sale, (): ()) -> Settled {
        self.set(cx, &sale.order, "paid").await
    }

    async fn cancelled(&self, cx: &Branch, sale: Sale, _: Option<()>) -> Settled {
        self.set(cx, &sale.order, "cancelled").await
    }

    /// Takes a paid order back, and says what it was.
    #[action(confirm = refunded, cancel = kept)]
    pub async fn take_back(&self, cx: &Branch, order: String) -> Tried<Sale, OrderError> {
        cx.fenced(&self.db, async |db| {
            let sale: Option<Sale> = sqlx::query_as(
                "UPDATE orders SET state = 'refunding' WHERE id = ? AND state = 'paid' \
                 RETURNING id, customer, sku, pieces, coupon, total",
            )
            .bind(&order)
            .fetch_optional(&mut *db)
            .await?;
            match sale {
                Some(sale) => Ok(sale),
                None => refuse(OrderError::NotPaid(order)),
            }
        })
        .await
    }

    async fn refunded(&self, cx: &Branch, order: String, _: Sale) -> Settled {
        self.set(cx, &order, "refunded").await
    }

    async fn kept(&self, cx: &Branch, order: String, _: Option<Sale>) -> Settled {
        self.set(cx, &order, "paid").await
    }

    async fn set(&self, cx: &Branch, order: &str, state: &'static str) -> Settled {
        cx.fenced(&self.db, async |db| {
            sqlx::query("UPDATE orders SET state = ? WHERE id = ?")
                .bind(state)
                .bind(order)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }
}

impl Orders {
    pub(super) async fn open(dir: &Path) -> Result<Self, OpenError> {
        Ok(Self { db: database::open(dir.join(FILE), TABLES, async |_| Ok(())).await? })
    }
}
