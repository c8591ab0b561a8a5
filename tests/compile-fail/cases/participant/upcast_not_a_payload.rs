use tcc_compile_fail::{Branch, Hold, Reserve, StockError, Tried, participant};

struct Plain;

impl From<Plain> for Reserve {
    fn from(_: Plain) -> Self {
        Reserve { sku: String::new() }
    }
}

struct Inventory;

#[participant("inventory")]
impl Inventory {
    #[action(cancel = none, version = 2, upcast(1: Plain))]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: 1 })
    }
}

fn main() {}
