use tcc_compile_fail::{Branch, Reserve, Serialize, Deserialize, Tried, participant, refuse};

struct Inventory;

#[derive(Debug, Serialize, Deserialize)]
struct Quiet;

#[participant("inventory")]
impl Inventory {
    #[action(cancel = none)]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<(), Quiet> {
        refuse(Quiet)
    }
}

fn main() {}
