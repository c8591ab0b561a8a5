use tcc_compile_fail::{CheckoutError, Coordinator, transactional};

struct Shop {
    tcc: Coordinator,
}

impl Shop {
    #[transactional]
    async fn checkout(&self, sku: String) -> Result<String, CheckoutError> {
        Ok(sku)
    }
}

fn main() {}
