use tcc_compile_fail::{Branch, Hold, Reserve, Settled, StockError, Tried, participant};

struct Inventory;

#[participant("inventory")]
impl Inventory {
    #[action(cancel = none)]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: 1 })
    }
}

#[participant("inventory")]
impl Inventory {
    #[on_confirm]
    async fn count(&self, _: &Branch, _: Reserve) -> Settled {
        Ok(())
    }
}

fn main() {}
