//! Letters to customers. They leave only if everything else is confirmed.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use tcc_core::{Branch, Settled, participant};
use tcc_sqlx::Fenced;

use crate::database::{self, OpenError};
use crate::money::Cents;

pub(crate) const FILE: &str = "mail.db";

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS letters (
    id       INTEGER PRIMARY KEY,
    kind     TEXT    NOT NULL CHECK (kind IN ('receipt', 'credit note')),
    order_id TEXT    NOT NULL,
    customer TEXT    NOT NULL,
    amount   INTEGER NOT NULL
) STRICT;";

/// What a letter says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// About which order.
    pub order: String,
    /// To whom.
    pub customer: String,
    /// How much was paid, or paid back.
    pub amount: Cents,
}

/// The post office.
#[derive(Debug)]
pub struct Mail {
    db: SqlitePool,
}

#[participant("mail")]
impl Mail {
    /// Sends the receipt of an order.
    #[on_confirm]
    pub async fn receipt(&self, cx: &Branch, letter: Letter) -> Settled {
        self.send(cx, "receipt", letter).await
    }

    /// Says that money was paid back.
    #[on_confirm]
    pub async fn credit_note(&self, cx: &Branch, letter: Letter) -> Settled {
        self.send(cx, "credit note", letter).await
    }

    async fn send(&self, cx: &Branch, kind: &'static str, letter: Letter) -> Settled {
        cx.fenced(&self.db, async |db| {
            sqlx::query("INSERT INTO letters (kind, order_id, customer, amount) VALUES (?, ?, ?, ?)")
                .bind(kind)
                .bind(&letter.order)
                .bind(&letter.customer)
                .bind(letter.amount)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }
}

impl Mail {
    pub(super) async fn open(dir: &Path) -> Result<Self, OpenError> {
        Ok(Self { db: database::open(dir.join(FILE), TABLES, async |_| Ok(())).await? })
    }
}
