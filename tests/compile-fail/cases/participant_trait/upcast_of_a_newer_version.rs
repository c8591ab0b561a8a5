use tcc_compile_fail::{Branch, Hold, Reserve, StockError, Tried, participant};

#[participant("stock")]
trait Stock {
    #[action(cancel = none, version = 2, upcast(3: u64))]
    async fn reserve(&self, cx: &Branch, request: Reserve) -> Tried<Hold, StockError>;
}

fn main() {}
