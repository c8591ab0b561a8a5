use tcc_compile_fail::{Branch, Hold, Reserve, StockError, Tried, participant};

#[participant("stock")]
trait Stock {
    #[action(cancel = none)]
    async fn reserve(&self, cx: &Branch, request: Reserve) -> Tried<Hold, StockError>;
}

struct Shelf {
    count: std::cell::Cell<u64>,
}

impl Stock for Shelf {
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: self.count.get() })
    }
}

fn main() {}
