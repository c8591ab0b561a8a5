use tcc_compile_fail::{CheckoutError, Tx, transactional};

struct Shop {
    name: String,
}

impl Shop {
    #[transactional(on = self.name)]
    async fn checkout(&self, tx: &Tx, sku: String) -> Result<String, CheckoutError> {
        let _ = tx;
        Ok(sku)
    }
}

fn main() {}
