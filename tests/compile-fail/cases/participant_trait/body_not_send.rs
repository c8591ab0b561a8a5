use tcc_compile_fail::{Branch, Hold, Reserve, StockError, Tried, participant};

#[participant("stock")]
trait Stock {
    #[action(cancel = none)]
    async fn reserve(&self, cx: &Branch, request: Reserve) -> Tried<Hold, StockError>;
}

struct Shelf;

impl Stock for Shelf {
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        let id = std::rc::Rc::new(1);
        std::future::ready(()).await;
        Ok(Hold { id: *id })
    }
}

fn main() {}
