#[participant("inventory")]
impl Inventory {
    #[action(cancel = release, version = 3, upcast(1: v1::Reserve -> v1::Hold, 2: v2::Reserve))]
    async fn reserve(&self, cx: &Branch, req: Reserve) -> Tried<Hold, StockError> {
        self.take(req).await
    }

    async fn release(&self, cx: &Branch, req: Reserve, hold: Option<Hold>) -> Settled {
        self.put_back(req, hold).await
    }

    #[on_confirm(version = 2, upcast(1: String))]
    async fn receipt(&self, cx: &Branch, receipt: Receipt) -> Settled {
        self.send(receipt).await
    }
}
