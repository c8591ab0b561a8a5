use tcc_compile_fail::{Branch, Reserve, participant};

struct Inventory;

#[participant("inventory")]
impl Inventory {
    #[action(cancel = none)]
    async fn reserve(&self, _: &Branch, _: Reserve) {}
}

fn main() {}
