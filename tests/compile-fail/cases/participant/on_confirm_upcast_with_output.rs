use tcc_compile_fail::{Branch, Reserve, Settled, participant};

struct Mail;

#[participant("mail")]
impl Mail {
    #[on_confirm(version = 2, upcast(1: Reserve -> u64))]
    async fn receipt(&self, _: &Branch, _: Reserve) -> Settled {
        Ok(())
    }
}

fn main() {}
