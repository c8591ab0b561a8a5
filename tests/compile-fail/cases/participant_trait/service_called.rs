use tcc_compile_fail::{Branch, Hold, Reserve, StockError, Tried, Tx, participant};

#[participant("stock")]
trait Stock {
    #[action(cancel = none)]
    async fn reserve(&self, cx: &Branch, request: Reserve) -> Tried<Hold, StockError>;
}

struct Shelf;

impl Stock for Shelf {
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: 1 })
    }
}

fn call(tx: &Tx) {
    tx.on::<Shelf>();
}

fn main() {}
