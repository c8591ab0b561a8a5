use tcc_compile_fail::{CheckoutError, Coordinator, Tx, transactional};

struct Shop {
    tcc: Coordinator,
}

trait Checkout {
    fn reserve(&self) -> impl Future<Output = Result<u64, CheckoutError>> + Send;
    fn checkout(&self) -> impl Future<Output = Result<u64, CheckoutError>> + Send;
}

#[transactional]
impl Checkout for Shop {
    #[transactional]
    async fn reserve(&self, tx: &Tx) -> Result<u64, CheckoutError> {
        let _ = tx;
        Ok(1)
    }

    #[transactional]
    async fn checkout(&self, tx: &Tx) -> Result<u64, CheckoutError> {
        let _ = tx;
        Self::reserve(self).await
    }
}

fn main() {}
