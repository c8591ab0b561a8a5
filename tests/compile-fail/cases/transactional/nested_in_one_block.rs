use tcc_compile_fail::{CheckoutError, Coordinator, Tx, transactional};

struct Shop {
    tcc: Coordinator,
}

#[transactional]
impl Shop {
    #[transactional]
    async fn reserve(&self, tx: &Tx) -> Result<u64, CheckoutError> {
        let _ = tx;
        Ok(1)
    }

    #[transactional(independent)]
    async fn count(&self, tx: &Tx) -> Result<u64, CheckoutError> {
        let _ = tx;
        Ok(1)
    }

    #[transactional]
    async fn checkout(&self, tx: &Tx) -> Result<u64, CheckoutError> {
        let _ = tx;
        Ok(self.reserve().await? + self.count().await?)
    }
}

fn main() {}
