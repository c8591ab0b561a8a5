#[async_trait]
impl Checkout for Shop {
    const FEE: u64 = 3;
    /// Buys one article.
    async fn buy(&self, sku: &str) -> Result<u64, CheckoutError> {
        let __coordinator: &::tcc_core::Coordinator = &::tcc_core::__private::AddOneOrWriteOnEqualsSelfDotItsName(
                self,
            )
            .tcc;
        let __transaction = ::tcc_core::Coordinator::transaction(__coordinator, "buy")
            .timeout(::core::time::Duration::from_millis(250u64))
            .key(&sku)
            .request(&(&sku,));
        __transaction
            .run(async |tx: &Tx| -> Result<u64, CheckoutError> {
                Ok(tx.on::<Inventory>().reserve(Reserve::one(sku)).await?.id)
            })
            .await
    }
    async fn count(&self) -> u64 {
        self.count
    }
}
