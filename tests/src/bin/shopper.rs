//! Eight customers, each of whom visits the shop again and again until this process is killed.
//!
//! `shopper <store> <folder> <name> <seed>`. It says on its standard output what happens, one line each: `ready`, `begin`,
//! `asked try wallet.freeze`, `done confirm mail.receipt`, `told bought ann-1 0192…`.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use shop::Shop;
use tcc_core::store::BoxError;
use tcc_core::{Branch, Intercept};
use tcc_tests::load::{self, Customer, Network, Place};
use tcc_tests::seed;

const CUSTOMERS: u64 = 8;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [place, dir, name, seed] = &arguments[..] else {
        return Err("usage: shopper <store> <folder> <name> <seed>".into());
    };
    std::thread::spawn(end_with_parent);
    let (place, dir, seed): (Place, _, u64) = (place.parse()?, PathBuf::from(dir), seed.parse()?);

    let services = load::services(&dir).await?;
    let network: Arc<dyn Intercept> = Arc::new(Network { faults: 15, tell });
    let builder = load::builder(place.open().await?);
    let shop = Shop::new(load::register(builder, &services, &network).start().await?);
    say(format_args!("ready"));
    let mut customers = tokio::task::JoinSet::new();
    for number in 0..CUSTOMERS {
        let mut customer = Customer::new(&shop, format!("{name}-{number}"), seed::round(seed, number));
        customers.spawn(async move {
            loop {
                say(format_args!("begin"));
                let told = customer.visit().await;
                say(format_args!("told {told}"));
            }
        });
    }
    // They come for ever: only a panic brings one back.
    match customers.join_next().await {
        Some(Err(panic)) => Err(panic.into()),
        _ => Ok(()),
    }
}

fn tell(what: &'static str, cx: &Branch) {
    say(format_args!("{what} {} {}", cx.phase(), cx.action()));
}

/// One line, whole and at once.
fn say(what: std::fmt::Arguments<'_>) {
    // Who no longer listens is about to kill this process, or is gone.
    let _ = std::io::stdout().write_all(format!("{what}\n").as_bytes());
}

/// The parent holds the other end of the standard input, and never writes to it.
fn end_with_parent() {
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(1);
}
