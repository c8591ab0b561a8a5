use tcc_compile_fail::{Branch, Hold, Reserve, StockError, participant};

struct Inventory;

#[participant("inventory")]
impl Inventory {
    #[action(cancel = none)]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Result<Hold, StockError> {
        Err(StockError)
    }
}

fn main() {}
