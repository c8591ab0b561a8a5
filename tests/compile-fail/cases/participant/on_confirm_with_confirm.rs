use tcc_compile_fail::{Branch, Reserve, Settled, participant};

struct Inventory;

#[participant("inventory")]
impl Inventory {
    #[on_confirm(confirm = ship)]
    async fn receipt(&self, _: &Branch, _: Reserve) -> Settled {
        Ok(())
    }
}

fn main() {}
