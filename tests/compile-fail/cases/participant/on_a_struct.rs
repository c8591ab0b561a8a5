use tcc_compile_fail::participant;

#[participant("inventory")]
struct Inventory;

fn main() {}
