#[participant("mail", crate = shop::tcc)]
impl Mail {
    /// Sends the receipt.
    #[on_confirm(rename = "receipt_mail", version = 2)]
    pub async fn receipt(&self, _: &Branch, receipt: <Self as Post>::Receipt) -> Settled {
        self.send(receipt).await
    }
}
