impl Shop {
    /// Buys everything in the cart.
    #[transactional(name = "checkout", timeout = "30s", key = order.id)]
    #[tracing::instrument(skip_all)]
    pub async fn checkout(&self, tx: &Tx, mut order: Order<'_>) -> Result<Receipt, CheckoutError> {
        order.close();
        tx.on::<Inventory>().reserve(order.stock()).await?;
        Ok(Receipt::new(order))
    }

    #[transactional(independent)]
    async fn empty<I: Into<Item>>(&mut self, tx: &Tx, (count, mut extra): (u64, Vec<I>)) -> Result<u64, CheckoutError> {
        Ok(count)
    }
}
