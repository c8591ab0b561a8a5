use tcc_compile_fail::{Branch, Deserialize, Hold, Reserve, Serialize, StockError, Tried, participant};

#[derive(Serialize, Deserialize)]
struct ReserveV1;

impl TryFrom<ReserveV1> for Reserve {
    type Error = u8;

    fn try_from(_: ReserveV1) -> Result<Self, u8> {
        Err(1)
    }
}

struct Inventory;

#[participant("inventory")]
impl Inventory {
    #[action(cancel = none, version = 2, upcast(1: ReserveV1))]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: 1 })
    }
}

fn main() {}
