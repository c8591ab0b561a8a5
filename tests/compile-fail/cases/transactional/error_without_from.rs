use tcc_compile_fail::{Coordinator, StockError, Tx, transactional};

struct Shop {
    tcc: Coordinator,
}

impl Shop {
    #[transactional]
    async fn checkout(&self, tx: &Tx) -> Result<u64, StockError> {
        let _ = tx;
        Err(StockError)
    }
}

fn main() {}
