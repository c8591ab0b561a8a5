use tcc_compile_fail::{Branch, Reserve, StockError, Tried, participant};

struct Inventory<T>(T);

type Answer<T> = Tried<T, StockError>;

#[participant("inventory")]
impl<T: Send + Sync + 'static> Inventory<T> {
    #[action(cancel = none)]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Answer<T> {
        unimplemented!()
    }
}

fn main() {}
