use tcc_compile_fail::{Branch, Hold, Reserve, StockError, Tried, participant};

struct Inventory;

#[participant("inventory")]
impl Inventory {
    #[action(cancel = none, version = 2, upcast(1: &str))]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: 1 })
    }
}

fn main() {}
