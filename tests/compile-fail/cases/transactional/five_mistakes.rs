use tcc_compile_fail::{Coordinator, transactional};

struct Shop {
    tcc: Coordinator,
}

impl Shop {
    #[transactional(name = "", timeout = "soon", retries = 3)]
    fn checkout(&self, sku: String) -> Option<u64> {
        std::future::ready(sku).await;
        None
    }
}

// Who calls it is not blamed.
async fn call(shop: &Shop) -> Option<u64> {
    shop.checkout(String::new()).await
}

fn main() {}
