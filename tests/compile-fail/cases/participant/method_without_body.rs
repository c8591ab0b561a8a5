use tcc_compile_fail::{Branch, Hold, Reserve, StockError, Tried, participant};

struct Inventory;

#[participant("inventory")]
impl Inventory {
    #[action(cancel = none)]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError>;
}

fn main() {}
