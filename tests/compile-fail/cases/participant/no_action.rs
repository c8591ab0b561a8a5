use tcc_compile_fail::participant;

struct Inventory;

#[participant("inventory")]
impl Inventory {
    fn helper(&self) {}
}

fn main() {}
