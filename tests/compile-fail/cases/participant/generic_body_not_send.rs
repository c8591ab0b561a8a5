use tcc_compile_fail::{Branch, Hold, Reserve, StockError, Tried, participant};

struct Inventory<D>(D);

#[participant("inventory")]
impl<D: Default> Inventory<D> {
    #[action(cancel = none)]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        let _mine = D::default();
        std::future::ready(()).await;
        Ok(Hold { id: 1 })
    }
}

fn main() {}
