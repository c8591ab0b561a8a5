use tcc_compile_fail::{Coordinator, TransactionError, Tx, transactional};

struct Shop {
    tcc: Coordinator,
}

impl Shop {
    #[transactional]
    async fn checkout(&self, tx: &Tx) -> Result<u64, TransactionError> {
        let _ = tx;
        let id = std::rc::Rc::new(1);
        std::future::ready(()).await;
        Ok(*id)
    }
}

fn main() {}
