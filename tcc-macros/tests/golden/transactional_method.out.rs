impl Shop {
    /// Buys everything in the cart.
    pub async fn checkout(&self, order: Order<'_>) -> Result<Receipt, CheckoutError> {
        let __coordinator: &::tcc_core::Coordinator = &::tcc_core::__private::AddOneOrWriteOnEqualsSelfDotItsName(
                self,
            )
            .tcc;
        let __transaction = ::tcc_core::Coordinator::transaction(
                __coordinator,
                "checkout",
            )
            .timeout(::core::time::Duration::from_millis(30000u64))
            .key(&order.id)
            .request(&(&order,));
        __transaction
            .run(async |__tx: &::tcc_core::Tx| {
                ::tcc_core::__private::body_of_a_transaction_is_send(
                        Self::checkout_in(self, __tx, order),
                    )
                    .await
            })
            .await
    }
    /// Buys everything in the cart.
    ///
    /// Joins a transaction that is already open, where `checkout` begins one of its own.
    #[allow(dead_code)]
    #[tracing::instrument(skip_all)]
    pub async fn checkout_in(
        &self,
        tx: &Tx,
        #[allow(unused_variables)]
        mut order: Order<'_>,
    ) -> Result<Receipt, CheckoutError> {
        order.close();
        tx.on::<Inventory>().reserve(order.stock()).await?;
        Ok(Receipt::new(order))
    }
    async fn empty<I: Into<Item>>(
        &mut self,
        __arg0: (u64, Vec<I>),
    ) -> Result<u64, CheckoutError> {
        let __coordinator = ::core::clone::Clone::clone(
            &::tcc_core::__private::AddOneOrWriteOnEqualsSelfDotItsName(&self).tcc,
        );
        let __transaction = ::tcc_core::Coordinator::transaction(&__coordinator, "empty")
            .independent();
        __transaction
            .run(async |__tx: &::tcc_core::Tx| {
                ::tcc_core::__private::body_of_a_transaction_is_send(
                        Self::empty_in::<I>(self, __tx, __arg0),
                    )
                    .await
            })
            .await
    }
    /// Joins a transaction that is already open, where `empty` begins one of its own.
    #[allow(dead_code)]
    async fn empty_in<I: Into<Item>>(
        &mut self,
        tx: &Tx,
        (count, mut extra): (u64, Vec<I>),
    ) -> Result<u64, CheckoutError> {
        Ok(count)
    }
}
