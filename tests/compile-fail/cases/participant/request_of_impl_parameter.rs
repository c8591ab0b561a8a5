use tcc_compile_fail::{Branch, Hold, StockError, Tried, participant};

struct Inventory<T>(T);

#[participant("inventory")]
impl<T: Clone + Send + Sync + 'static> Inventory<T> {
    #[action(cancel = none)]
    async fn reserve(&self, _: &Branch, _: Vec<T>) -> Tried<Hold, StockError> {
        Ok(Hold { id: 1 })
    }
}

fn main() {}
