use tcc_compile_fail::{Branch, Hold, Reserve, StockError, Tried, participant};

#[participant("stock")]
trait Stock {
    async fn reserve(&self, cx: &Branch, request: Reserve) -> Tried<Hold, StockError>;
}

fn main() {}
