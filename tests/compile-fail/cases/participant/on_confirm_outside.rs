use tcc_compile_fail::{Branch, Reserve, Settled, on_confirm};

struct Inventory;

impl Inventory {
    #[on_confirm]
    async fn receipt(&self, _: &Branch, _: Reserve) -> Settled {
        Ok(())
    }
}

fn main() {}
