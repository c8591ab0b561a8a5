use tcc_compile_fail::{Coordinator, TransactionError, Tx, transactional};

struct Shop {
    tcc: Coordinator,
}

impl Shop {
    #[transactional(key = key)]
    async fn checkout(&self, tx: &Tx, key: Vec<u8>) -> Result<(), TransactionError> {
        let _ = (tx, key);
        Ok(())
    }
}

fn main() {}
