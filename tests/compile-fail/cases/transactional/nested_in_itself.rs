use tcc_compile_fail::{CheckoutError, Coordinator, Tx, transactional};

struct Shop {
    tcc: Coordinator,
}

impl Shop {
    #[transactional]
    async fn checkout(&self, tx: &Tx, left: u64) -> Result<u64, CheckoutError> {
        let _ = tx;
        if left == 0 { Ok(0) } else { Box::pin(self.checkout(left - 1)).await }
    }
}

fn main() {}
