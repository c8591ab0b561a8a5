use tcc_compile_fail::{Coordinator, Tx, transactional};

struct Shop {
    tcc: Coordinator,
}

impl Shop {
    #[transactional]
    async fn checkout(&self, tx: &Tx) -> Option<u64> {
        let _ = tx;
        None
    }
}

fn main() {}
