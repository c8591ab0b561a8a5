use tcc_compile_fail::{Coordinator, TransactionError, Tx, transactional};

struct Shop {
    tcc: Coordinator,
}

struct Plain(u64);

impl Shop {
    #[transactional(key = plain.0)]
    async fn checkout(&self, tx: &Tx, plain: Plain) -> Result<(), TransactionError> {
        let _ = (tx, plain);
        Ok(())
    }
}

fn main() {}
