use tcc_compile_fail::{Branch, Hold, Reserve, StockError, Tried, participant};

struct Inventory;

#[participant("inventory")]
#[tcc_compile_fail::async_trait]
impl Inventory {
    #[action(cancel = none)]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: 1 })
    }
}

fn main() {}
