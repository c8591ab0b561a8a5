use tcc_compile_fail::{Branch, Settled, Tried, participant};

struct Request;
struct Output;
struct Refusal;

struct Inventory;

#[participant("inventory")]
impl Inventory {
    #[action(confirm = ship, cancel = release)]
    async fn reserve(&self, _: &Branch, _: Request) -> Tried<Output, Refusal> {
        Ok(Output)
    }

    async fn ship(&self, _: &Branch, _: Request, _: Output) -> Settled {
        Ok(())
    }

    async fn release(&self, _: &Branch, _: Request, _: Option<Output>) -> Settled {
        Ok(())
    }
}

fn main() {}
