async fn handler(
    arg0: State<App>,
    arg1: Json<Transfer>,
) -> Result<String, TransferError> {
    let coordinator = {
        #[allow(unused_variables)]
        let State(app) = &arg0;
        ::core::clone::Clone::clone(&app.tcc)
    };
    let transaction = {
        #[allow(unused_variables)]
        let Json(transfer) = &arg1;
        ::tcc_core::Coordinator::transaction(&coordinator, "handler")
            .key(&transfer.id)
            .request(&transfer)
            .reuse_after_cancel()
    };
    transaction
        .run(async |tx: &::tcc_core::Tx| {
            ::tcc_core::__private::body_of_a_transaction_is_send(
                    handler_in(tx, arg0, arg1),
                )
                .await
        })
        .await
}
/// Joins a transaction that is already open, where `handler` begins one of its own.
#[allow(dead_code)]
async fn handler_in(
    tx: &Tx,
    State(app): State<App>,
    Json(transfer): Json<Transfer>,
) -> Result<String, TransferError> {
    Ok(transfer.run(tx).await?.to_string())
}
