use tcc_compile_fail::{Branch, Hold, Reserve, StockError, Tried, participant};

struct Inventory {
    count: std::rc::Rc<u64>,
}

#[participant("inventory")]
impl Inventory {
    #[action(cancel = none)]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: *self.count })
    }
}

fn main() {}
