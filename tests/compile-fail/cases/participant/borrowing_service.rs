use tcc_compile_fail::{Branch, Hold, Reserve, StockError, Tried, participant};

struct Inventory<'a>(&'a str);

#[participant("inventory")]
impl<'a> Inventory<'a> {
    #[action(cancel = none)]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: 1 })
    }
}

fn main() {}
