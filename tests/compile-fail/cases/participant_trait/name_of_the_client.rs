use tcc_compile_fail::{Branch, Reserve, Settled, participant};

#[participant("stock")]
trait Stock {
    #[on_confirm]
    async fn client(&self, cx: &Branch, request: Reserve) -> Settled;
}

fn main() {}
