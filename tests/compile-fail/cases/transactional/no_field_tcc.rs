use tcc_compile_fail::{CheckoutError, Tx, transactional};

struct Shop;

impl Shop {
    #[transactional]
    async fn checkout(&self, tx: &Tx, sku: String) -> Result<String, CheckoutError> {
        let _ = tx;
        Ok(sku)
    }
}

fn main() {}
