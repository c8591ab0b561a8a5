use tcc_compile_fail::{Branch, Builder, CheckoutError, Hold, Reserve, Settled, StockError, Tried, Tx, participant};

#[participant("stock")]
trait Stock {
    #[action(confirm = shpi, cancel = release, timeout = "5", tries = 0)]
    async fn reserve(&self, cx: &Branch, request: Reserve) -> Tried<Hold, StockError>;
    async fn ship(&self, cx: &Branch, request: Reserve, hold: Hold) -> Settled;
    async fn release(&self, cx: &Branch, request: Reserve, hold: Hold) -> Settled;

    #[on_confirm(cancel = none)]
    async fn receipt(&self, cx: &Branch, request: Reserve);
}

struct Shelf;

// Who implements it is not blamed, nor who calls it.
impl Stock for Shelf {
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: 1 })
    }
    async fn ship(&self, _: &Branch, _: Reserve, _: Hold) -> Settled {
        Ok(())
    }
    async fn release(&self, _: &Branch, _: Reserve, _: Hold) -> Settled {
        Ok(())
    }
    async fn receipt(&self, _: &Branch, _: Reserve) {}
}

async fn buy(tx: &Tx, builder: Builder, request: Reserve) -> Result<u64, CheckoutError> {
    let _ = builder.register(StockClient::serve(Shelf));
    tx.on::<StockClient>().receipt(request.clone()).await?;
    Ok(tx.on::<StockClient>().reserve(request).await?.id)
}

fn main() {}
