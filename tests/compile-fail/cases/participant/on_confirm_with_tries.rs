use tcc_compile_fail::{Branch, Reserve, Settled, participant};

struct Mail;

#[participant("mail")]
impl Mail {
    #[on_confirm(tries = 3)]
    async fn receipt(&self, _: &Branch, _: Reserve) -> Settled {
        Ok(())
    }
}

fn main() {}
