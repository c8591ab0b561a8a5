#[participant("inventory")]
impl Inventory {
    /// Puts stock aside until the order settles.
    #[action(confirm = ship, cancel = release, timeout = "5s")]
    async fn reserve(&self, cx: &Branch, req: Reserve) -> Tried<Hold, StockError> {
        self.put_aside(cx, req).await
    }

    async fn ship(&self, cx: &Branch, req: Reserve, hold: Hold) -> Settled {
        self.take(cx, req, hold).await
    }

    async fn release(&self, cx: &Branch, req: Reserve, hold: Option<Hold>) -> Settled {
        self.put_back(cx, req, hold).await
    }
}
