use tcc_compile_fail::{CheckoutError, Coordinator, Tx, async_trait, transactional};

struct Shop {
    tcc: Coordinator,
}

#[async_trait]
trait Checkout {
    async fn checkout(&self, sku: String) -> Result<String, CheckoutError>;
}

#[async_trait]
impl Checkout for Shop {
    #[transactional]
    async fn checkout(&self, tx: &Tx, sku: String) -> Result<String, CheckoutError> {
        let _ = tx;
        Ok(sku)
    }
}

fn main() {}
