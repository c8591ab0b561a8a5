use tcc_compile_fail::{CheckoutError, transactional};

#[transactional]
trait Checkout {
    fn checkout(&self, sku: String) -> impl Future<Output = Result<String, CheckoutError>> + Send;
}

fn main() {}
