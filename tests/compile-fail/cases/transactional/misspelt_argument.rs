use tcc_compile_fail::{CheckoutError, Coordinator, Tx, transactional};

struct Shop {
    tcc: Coordinator,
}

impl Shop {
    #[transactional(independant)]
    async fn checkout(&self, tx: &Tx, sku: String) -> Result<String, CheckoutError> {
        let _ = tx;
        Ok(sku)
    }
}

fn main() {}
