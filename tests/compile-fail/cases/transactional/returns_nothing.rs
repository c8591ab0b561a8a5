use tcc_compile_fail::{Coordinator, Tx, transactional};

struct Shop {
    tcc: Coordinator,
}

impl Shop {
    #[transactional]
    async fn checkout(&self, tx: &Tx) {
        let _ = tx;
    }
}

fn main() {}
