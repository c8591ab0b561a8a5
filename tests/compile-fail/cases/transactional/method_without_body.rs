use tcc_compile_fail::{CheckoutError, Coordinator, Tx, transactional};

struct Shop {
    tcc: Coordinator,
}

#[transactional]
impl Shop {
    #[transactional]
    async fn checkout(&self, tx: &Tx, sku: String) -> Result<String, CheckoutError>;
}

fn main() {}
