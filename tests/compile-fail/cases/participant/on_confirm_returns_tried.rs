use tcc_compile_fail::{Branch, Hold, Reserve, StockError, Tried, participant};

struct Mail;

#[participant("mail")]
impl Mail {
    #[on_confirm]
    async fn receipt(&self, _: &Branch, _: Reserve) -> Tried<Hold, StockError> {
        Ok(Hold { id: 1 })
    }
}

fn main() {}
