//! Coupons: free, locked, used.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use tcc_core::{Branch, Settled, Tried, participant, refuse};
use tcc_sqlx::Fenced;

use crate::database::{self, OpenError, Seed};
use crate::money::Cents;

pub(crate) const FILE: &str = "coupons.db";

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS coupons (
    code     TEXT    PRIMARY KEY,
    discount INTEGER NOT NULL CHECK (discount >= 0),
    state    TEXT    NOT NULL DEFAULT 'free' CHECK (state IN ('free', 'locked', 'used')),
    order_id TEXT    CHECK ((order_id IS NULL) = (state = 'free'))
) STRICT;";

/// A coupon, for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponUse {
    /// For which order.
    pub order: String,
    /// The coupon.
    pub code: String,
}

/// What a coupon takes off the price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discount {
    /// How much.
    pub amount: Cents,
}

/// Why a coupon is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum CouponError {
    /// Another order has it.
    #[error("the coupon {0} is used")]
    Taken(String),
    /// There is none.
    #[error("there is no coupon {0}")]
    Unknown(String),
}

/// The book of coupons.
#[derive(Debug)]
pub struct Coupons {
    db: SqlitePool,
}

#[participant("coupons")]
impl Coupons {
    /// Locks a coupon for an order, and says what it takes off.
    #[action(confirm = used, cancel = free)]
    pub async fn lock(&self, cx: &Branch, coupon: CouponUse) -> Tried<Discount, CouponError> {
        cx.fenced(&self.db, async |db| {
            let row: Option<(Cents, String)> =
                sqlx::query_as("SELECT discount, state FROM coupons WHERE code = ?")
                    .bind(&coupon.code)
                    .fetch_optional(&mut *db)
                    .await?;
            let amount = match row {
                None => return refuse(CouponError::Unknown(coupon.code)),
                Some((_, state)) if state != "free" => return refuse(CouponError::Taken(coupon.code)),
                Some((amount, _)) => amount,
            };
            sqlx::query("UPDATE coupons SET state = 'locked', order_id = ? WHERE code = ?")
                .bind(&coupon.order)
                .bind(&coupon.code)
                .execute(&mut *db)
                .await?;
            Ok(Discount { amount })
        })
        .await
    }

    async fn used(&self, cx: &Branch, coupon: CouponUse, _: Discount) -> Settled {
        cx.fenced(&self.db, async |db| {
            sqlx::query("UPDATE coupons SET state = 'used' WHERE code = ?")
                .bind(&coupon.code)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }

    async fn free(&self, cx: &Branch, coupon: CouponUse, _: Option<Discount>) -> Settled {
        cx.fenced(&self.db, async |db| {
            sqlx::query("UPDATE coupons SET state = 'free', order_id = NULL WHERE code = ?")
                .bind(&coupon.code)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }
}

impl Coupons {
    pub(super) async fn open(dir: &Path, seed: &Seed) -> Result<Self, OpenError> {
        let db = database::open(dir.join(FILE), TABLES, async |db| {
            for (code, discount) in &seed.coupons {
                sqlx::query(
                    "INSERT INTO coupons (code, discount) VALUES (?, ?) ON CONFLICT (code) DO NOTHING",
                )
                .bind(code)
                .bind(discount)
                .execute(&mut *db)
                .await?;
            }
            Ok(())
        });
        Ok(Self { db: db.await? })
    }
}
