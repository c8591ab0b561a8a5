#[transactional]
#[async_trait]
impl Checkout for Shop {
    const FEE: u64 = 3;

    /// Buys one article.
    #[transactional(timeout = "250ms", key = sku)]
    async fn buy(&self, tx: &Tx, sku: &str) -> Result<u64, CheckoutError> {
        Ok(tx.on::<Inventory>().reserve(Reserve::one(sku)).await?.id)
    }

    async fn count(&self) -> u64 {
        self.count
    }
}
