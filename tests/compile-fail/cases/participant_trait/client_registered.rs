use tcc_compile_fail::{Branch, Builder, Hold, Reserve, StockError, Tried, participant};

#[participant("stock")]
trait Stock {
    #[action(cancel = none)]
    async fn reserve(&self, cx: &Branch, request: Reserve) -> Tried<Hold, StockError>;
}

fn start(builder: Builder) {
    let _ = builder.register(StockClient);
}

fn main() {}
