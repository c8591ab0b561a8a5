use tcc_compile_fail::{Branch, Reserve, StockError, Tried, participant};

struct Inventory;

struct Plain;

#[participant("inventory")]
impl Inventory {
    #[action(cancel = none)]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Plain, StockError> {
        Ok(Plain)
    }
}

fn main() {}
