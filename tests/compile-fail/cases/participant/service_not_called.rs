use tcc_compile_fail::Tx;

struct Inventory;

fn call(tx: &Tx) {
    tx.on::<Inventory>();
}

fn main() {}
