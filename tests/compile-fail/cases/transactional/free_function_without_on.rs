use tcc_compile_fail::{Coordinator, TransactionError, Tx, transactional};

#[transactional]
async fn checkout(tx: &Tx, tcc: &Coordinator) -> Result<(), TransactionError> {
    let _ = (tx, tcc);
    Ok(())
}

// Who calls it is not blamed.
async fn call(tcc: &Coordinator) -> Result<(), TransactionError> {
    checkout(tcc).await
}

fn main() {}
