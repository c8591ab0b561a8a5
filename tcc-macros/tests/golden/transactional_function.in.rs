#[transactional(on = app.tcc, key = transfer.id, request = transfer, reuse_after_cancel)]
async fn handler(
    tx: &Tx,
    State(app): State<App>,
    Json(transfer): Json<Transfer>,
) -> Result<String, TransferError> {
    Ok(transfer.run(tx).await?.to_string())
}
