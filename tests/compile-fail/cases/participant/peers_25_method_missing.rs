use tcc_compile_fail::{Branch, Hold, Reserve, Settled, StockError, Tried, participant};

struct Inventory;

#[participant("inventory")]
impl Inventory {
    #[action(confirm = ship, cancel = release)]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: 1 })
    }

    async fn release(&self, _: &Branch, _: Reserve, _: Option<Hold>) -> Settled {
        Ok(())
    }
}

fn main() {}
