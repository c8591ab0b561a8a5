use tcc_compile_fail::{Branch, Hold, StockError, Tried, participant};

#[participant("stock")]
trait Stock {
    type Item;

    #[action(cancel = none)]
    async fn reserve(&self, cx: &Branch, request: Self::Item) -> Tried<Hold, StockError>;
}

fn main() {}
