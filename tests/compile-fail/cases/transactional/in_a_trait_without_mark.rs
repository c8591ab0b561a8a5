use tcc_compile_fail::{CheckoutError, Coordinator, Tx, transactional};

struct Shop {
    tcc: Coordinator,
}

trait Checkout {
    fn checkout(&self, sku: String) -> impl Future<Output = Result<String, CheckoutError>> + Send;
}

impl Checkout for Shop {
    #[transactional]
    async fn checkout(&self, tx: &Tx, sku: String) -> Result<String, CheckoutError> {
        let _ = tx;
        Ok(sku)
    }
}

fn main() {}
