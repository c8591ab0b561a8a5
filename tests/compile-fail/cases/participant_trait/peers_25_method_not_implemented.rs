use tcc_compile_fail::{Branch, Hold, Reserve, Settled, StockError, Tried, participant};

#[participant("stock")]
trait Stock {
    #[action(confirm = ship, cancel = none)]
    async fn reserve(&self, cx: &Branch, request: Reserve) -> Tried<Hold, StockError>;
    async fn ship(&self, cx: &Branch, request: Reserve, hold: Hold) -> Settled;
}

struct Shelf;

impl Stock for Shelf {
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: 1 })
    }
}

fn main() {}
