use tcc_compile_fail::{async_trait, Branch, Hold, Reserve, StockError, Tried, participant};

#[participant("stock")]
#[async_trait]
trait Stock {
    #[action(cancel = none)]
    async fn reserve(&self, cx: &Branch, request: Reserve) -> Tried<Hold, StockError>;
}

fn main() {}
