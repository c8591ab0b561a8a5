use tcc_compile_fail::Builder;

struct Inventory;

fn register(builder: Builder) -> Builder {
    builder.register(Inventory)
}

fn main() {}
