//! The participant: it does nothing, so what is measured is the framework.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tcc_core::{ActionType, Branch, Handler, Never, Registry, Service, Settled, Tried};
use tokio::sync::Notify;

use crate::shape::order;

/// What is asked for: [`Shape::payload`](crate::shape::Shape::payload) bytes of JSON.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) sku: String,
    pub(crate) amount: u32,
    pub(crate) order: String,
}

impl Request {
    pub(crate) fn new(payload: usize) -> Self {
        Self { sku: "apple".to_owned(), amount: 3, order: order(payload) }
    }

    /// One whose settling is counted by [`Stock::settled`].
    pub(crate) fn abandoned() -> Self {
        Self { sku: ABANDONED.to_owned(), ..Self::new(64) }
    }
}

const ABANDONED: &str = "abandoned";

#[derive(Serialize, Deserialize)]
pub(crate) struct Hold {
    pub(crate) hold: u32,
}

pub(crate) struct Take;

impl ActionType for Take {
    const NAME: &'static str = "stock.take";
    type Request = Request;
    type Output = Hold;
    type Error = Never;
}

/// The same with a request of no bytes.
pub(crate) struct Touch;

impl ActionType for Touch {
    const NAME: &'static str = "stock.touch";
    type Request = ();
    type Output = Hold;
    type Error = Never;
}

/// Puts nothing aside, and takes nothing.
#[derive(Default)]
pub(crate) struct Stock {
    settled: AtomicU64,
    changed: Notify,
}

impl Stock {
    /// The business call of a try, also made without any transaction.
    #[inline(never)]
    pub(crate) fn take(&self, request: &Request) -> Hold {
        Hold { hold: request.amount }
    }

    /// The business call of a confirm or cancel.
    #[inline(never)]
    pub(crate) fn settle(&self, request: &Request) {
        if request.sku == ABANDONED {
            self.settled.fetch_add(1, Ordering::Relaxed);
            self.changed.notify_waiters();
        }
    }

    /// Waits until so many branches of abandoned transactions were settled.
    pub(crate) async fn settled(&self, branches: u64) {
        loop {
            let changed = self.changed.notified();
            if self.settled.load(Ordering::Relaxed) >= branches {
                return;
            }
            changed.await;
        }
    }
}

impl Handler<Take> for Stock {
    async fn r#try(&self, _: &Branch, request: Request) -> Tried<Hold, Never> {
        Ok(self.take(&request))
    }

    async fn confirm(&self, _: &Branch, request: Request, _: Hold) -> Settled {
        self.settle(&request);
        Ok(())
    }

    async fn cancel(&self, _: &Branch, request: Request, _: Option<Hold>) -> Settled {
        self.settle(&request);
        Ok(())
    }
}

impl Handler<Touch> for Stock {
    async fn r#try(&self, _: &Branch, (): ()) -> Tried<Hold, Never> {
        Ok(Hold { hold: 1 })
    }

    async fn confirm(&self, _: &Branch, (): (), _: Hold) -> Settled {
        Ok(())
    }

    async fn cancel(&self, _: &Branch, (): (), _: Option<Hold>) -> Settled {
        Ok(())
    }
}

impl Service for Stock {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Take, _>(self.clone());
        registry.add::<Touch, _>(self);
    }
}
