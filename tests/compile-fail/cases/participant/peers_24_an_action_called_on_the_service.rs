use tcc_compile_fail::{Branch, Hold, Reserve, StockError, Tried, Tx, participant, transactional};
use tcc_compile_fail::{CheckoutError, Coordinator};

struct Inventory;

#[participant("inventory")]
impl Inventory {
    #[action(cancel = none)]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: 1 })
    }
}

struct Shop {
    tcc: Coordinator,
    inventory: Inventory,
}

impl Shop {
    // The annotation would be ignored if this compiled: there is no branch without its transaction.
    #[transactional]
    async fn checkout(&self, tx: &Tx, request: Reserve) -> Result<u64, CheckoutError> {
        let _ = tx;
        let hold = self.inventory.reserve(request).await;
        Ok(hold.map_or(0, |hold| hold.id))
    }
}

fn main() {}
