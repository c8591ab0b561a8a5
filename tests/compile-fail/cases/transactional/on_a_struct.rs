use tcc_compile_fail::transactional;

#[transactional]
struct Shop;

fn main() {}
