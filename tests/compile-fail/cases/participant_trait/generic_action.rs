use tcc_compile_fail::{Branch, Hold, StockError, Tried, participant};

#[participant("stock")]
trait Stock {
    #[action(cancel = none)]
    async fn reserve<T: Send>(&self, cx: &Branch, request: T) -> Tried<Hold, StockError>;
}

fn main() {}
