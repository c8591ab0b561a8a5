use tcc_compile_fail::{Branch, Hold, Reserve, StockError, Tried, participant};

#[participant("stock")]
trait Stock {
    #[action(cancel = none)]
    async fn reserve(&mut self, cx: &Branch, request: Reserve) -> Tried<Hold, StockError>;
}

fn main() {}
