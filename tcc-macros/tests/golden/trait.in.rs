/// Money of customers.
#[participant("wallet")]
pub(crate) trait Wallet: Clock {
    type Currency: Into<u32>;

    /// Puts money aside.
    #[action(confirm = settle, cancel = refund, timeout = "2s", tries = 3)]
    async fn freeze(&self, cx: &Branch, req: Freeze) -> Tried<Frozen, WalletError>;
    async fn settle(&self, cx: &Branch, req: Freeze, frozen: Frozen) -> Settled;
    async fn refund(&self, cx: &Branch, req: Freeze, frozen: Option<Frozen>) -> Settled {
        self.give_back(cx.key(), req).await?;
        Ok(())
    }

    #[on_confirm(rename = "statement")]
    async fn send_statement(&self, cx: &Branch, to: String) -> Settled;

    async fn give_back(&self, key: BranchKey, req: Freeze) -> Result<(), Error>;
    fn currency(&self) -> Self::Currency;
}
