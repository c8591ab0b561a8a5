use tcc_compile_fail::{Coordinator, transactional};

struct Shop {
    tcc: Coordinator,
}

#[transactional]
impl Shop {
    fn helper(&self) {}
}

fn main() {}
