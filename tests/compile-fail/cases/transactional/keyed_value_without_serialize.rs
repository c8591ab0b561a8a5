use tcc_compile_fail::{Coordinator, TransactionError, Tx, transactional};

struct Shop {
    tcc: Coordinator,
}

struct Plain;

impl Shop {
    #[transactional(key = key)]
    async fn checkout(&self, tx: &Tx, key: u64) -> Result<Plain, TransactionError> {
        let _ = (tx, key);
        Ok(Plain)
    }
}

fn main() {}
