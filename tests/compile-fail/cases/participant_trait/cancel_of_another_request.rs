use tcc_compile_fail::{Branch, Hold, Reserve, Settled, StockError, Tried, participant};

#[participant("stock")]
trait Stock {
    #[action(cancel = release)]
    async fn reserve(&self, cx: &Branch, request: Reserve) -> Tried<Hold, StockError>;
    async fn release(&self, cx: &Branch, request: Hold, hold: Option<Reserve>) -> Settled;
}

fn main() {}
