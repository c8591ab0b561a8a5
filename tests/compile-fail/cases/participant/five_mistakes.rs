use tcc_compile_fail::{Branch, CheckoutError, Hold, Reserve, Settled, StockError, Tried, Tx, participant};

struct Inventory;

#[participant("inventory")]
impl Inventory {
    #[action(confirm = shpi, cancel = release, timeout = "5")]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: 1 })
    }

    async fn ship(&self, _: &Branch, _: Reserve, _: Hold) -> Settled {
        Ok(())
    }

    async fn release(&self, _: &Branch, _: Reserve, _: Hold) -> Settled {
        Ok(())
    }

    #[on_confirm(versoin = 2)]
    async fn receipt(&mut self, _: &Branch, _: Reserve) -> Settled {
        Ok(())
    }
}

// Who calls it is not blamed.
async fn buy(tx: &Tx, request: Reserve) -> Result<u64, CheckoutError> {
    tx.on::<Inventory>().receipt(request.clone()).await?;
    Ok(tx.on::<Inventory>().reserve(request).await?.id)
}

fn main() {}
