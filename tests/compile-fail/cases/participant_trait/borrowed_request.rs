use tcc_compile_fail::{Branch, Hold, StockError, Tried, participant};

#[participant("stock")]
trait Stock {
    #[action(cancel = none)]
    async fn reserve(&self, cx: &Branch, request: &str) -> Tried<Hold, StockError>;
}

fn main() {}
