#[participant("ledger")]
impl<C: Clock, const N: usize> Ledger<C, N>
where
    C: Clone,
{
    /// A step of a saga: nothing is left to confirm.
    #[action(cancel = reverse)]
    #[cfg(feature = "booking")]
    #[deprecated = "post instead"]
    pub(crate) async fn book(&self, cx: &Branch, (amount, account): (u64, String)) -> BookAnswer {
        self.post(cx, amount, account).await
    }

    async fn reverse(&self, cx: &Branch, req: (u64, String), entry: Option<Entry>) -> Settled {
        self.unpost(cx, req, entry).await
    }

    #[action(cancel = none, rename = "limit", version = 3)]
    async fn check_limit(&self, cx: &Branch, limit: u64) -> tcc_core::Tried<(), LimitError> {
        self.check(cx, req).await
    }
}
