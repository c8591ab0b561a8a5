use tcc_compile_fail::{CheckoutError, Tx, transactional};

trait Checkout {
    #[transactional]
    async fn checkout(&self, tx: &Tx, sku: String) -> Result<String, CheckoutError>;
}

fn main() {}
