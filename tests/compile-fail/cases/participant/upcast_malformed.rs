use tcc_compile_fail::{Branch, Deserialize, Hold, Reserve, Serialize, StockError, Tried, participant};

#[derive(Serialize, Deserialize)]
struct ReserveV1;

impl From<ReserveV1> for Reserve {
    fn from(_: ReserveV1) -> Self {
        Reserve { sku: String::new() }
    }
}

struct Inventory;

#[participant("inventory")]
impl Inventory {
    #[action(cancel = none, version = 2, upcast = ReserveV1)]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: 1 })
    }
}

fn main() {}
