use tcc_compile_fail::{Branch, Hold, Reserve, StockError, Tried, action};

struct Inventory;

impl Inventory {
    #[action(cancel = none)]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: 1 })
    }
}

fn main() {}
