use tcc_compile_fail::{Branch, Builder, Hold, Reserve, StockError, Tried, participant};

struct Inventory<D>(D);

#[participant("inventory")]
impl<D> Inventory<D> {
    #[action(cancel = none)]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        let _ = &self.0;
        Ok(Hold { id: 1 })
    }
}

fn start<D>(builder: Builder, db: D) {
    let _ = builder.register(Inventory(db));
}

fn main() {}
