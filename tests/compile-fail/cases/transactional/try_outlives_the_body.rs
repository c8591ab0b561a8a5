use tcc_compile_fail::{Coordinator, TransactionError, Tx, transactional};

struct Shop {
    tcc: Coordinator,
}

impl Shop {
    #[transactional]
    async fn checkout(&self, tx: &Tx) -> Result<(), TransactionError> {
        keep(std::future::ready(tx));
        Ok(())
    }
}

fn keep(_: impl Future + Send + 'static) {}

fn main() {}
