use tcc_compile_fail::participant;

struct Inventory;

#[participant("inventory")]
impl Clone for Inventory {
    fn clone(&self) -> Self {
        Inventory
    }
}

fn main() {}
