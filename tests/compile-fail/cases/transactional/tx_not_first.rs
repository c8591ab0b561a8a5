use tcc_compile_fail::{CheckoutError, Coordinator, Tx, transactional};

struct Shop {
    tcc: Coordinator,
}

impl Shop {
    #[transactional]
    async fn checkout(&self, sku: String, tx: &Tx) -> Result<String, CheckoutError> {
        let _ = tx;
        Ok(sku)
    }
}

fn main() {}
