async fn handler(
    __arg0: State<App>,
    __arg1: Json<Transfer>,
) -> Result<String, TransferError> {
    let __coordinator = {
        #[allow(unused_variables)]
        let State(app) = &__arg0;
        ::core::clone::Clone::clone(&app.tcc)
    };
    let __transaction = {
        #[allow(unused_variables)]
        let Json(transfer) = &__arg1;
        ::tcc_core::Coordinator::transaction(&__coordinator, "handler")
            .key(&transfer.id)
            .request(&transfer)
            .reuse_after_cancel()
    };
    __transaction
        .run(async |__tx: &::tcc_core::Tx| {
            ::tcc_core::__private::body_of_a_transaction_is_send(
                    handler_in(__tx, __arg0, __arg1),
                )
                .await
        })
        .await
}
/// Joins a transaction that is already open, where `handler` begins one of its own.
#[allow(dead_code)]
async fn handler_in(
    tx: &Tx,
    #[allow(unused_variables)]
    State(app): State<App>,
    #[allow(unused_variables)]
    Json(transfer): Json<Transfer>,
) -> Result<String, TransferError> {
    Ok(transfer.run(tx).await?.to_string())
}
