use tcc_compile_fail::{Coordinator, TransactionError, Tx, transactional};

struct Order {
    id: u64,
}

struct Shop {
    tcc: Coordinator,
}

impl Shop {
    #[transactional(key = "order.id", request = order.id)]
    async fn buy(&self, tx: &Tx, order: Order) -> Result<u64, TransactionError> {
        let _ = tx;
        Ok(order.id)
    }

    #[transactional(key = &17, request = order.id)]
    async fn sell(&self, tx: &Tx, order: Order) -> Result<u64, TransactionError> {
        let _ = tx;
        Ok(order.id)
    }

    #[transactional(key = "order 17", request = order.id)]
    async fn lend(&self, tx: &Tx, order: Order) -> Result<u64, TransactionError> {
        let _ = tx;
        Ok(order.id)
    }

    #[transactional(key = format!("order {}", order.id), request = order.id)]
    async fn fine(&self, tx: &Tx, order: Order) -> Result<u64, TransactionError> {
        let _ = tx;
        Ok(order.id)
    }
}

fn main() {}
