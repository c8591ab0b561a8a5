//! The demo: scenarios, each in a new shop, and a table of what became of money and stock.
//!
//! | file | subject |
//! | --- | --- |
//! | `scenario` | the scenarios: what is done, and what must come of it |
//! | `killed` | the scenarios in which a process is killed, and what that process does |
//! | `stage` | the shop of one scenario |
//! | `table` | the table |

mod killed;
mod scenario;
mod stage;
mod table;

use std::process::ExitCode;
use std::time::Instant;

pub(crate) use killed::{Part, until_killed};
pub(crate) use scenario::Scenario;
use stage::{Place, Stage};
use table::{Row, Verdict};

use crate::store::Address;
use crate::{Ended, say};

/// Plays scenarios one after the other, and prints a row for each as it ends.
pub(crate) async fn play(scenarios: &[Scenario], store: &Option<Address>) -> Ended {
    let folder = tempfile::Builder::new().prefix("shop-").tempdir()?;
    let address = store.clone().unwrap_or_else(|| {
        let file = folder.path().join("transactions.db");
        Address::Sqlite(format!("sqlite:{}", file.display()))
    });
    let log = if store.is_some() { address.describe() } else { "in a SQLite file".into() };
    let place = Place { folder: folder.path().to_owned(), store: address.open().await?, address };
    say(&table::head(&log))?;

    let began = Instant::now();
    let mut verdicts = Vec::new();
    for scenario in scenarios {
        let row = act(*scenario, &place).await;
        say(&row.to_string())?;
        verdicts.push(row.verdict);
    }
    say(&table::foot(&verdicts, began.elapsed()))?;
    let broken = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Broken(_)));
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// One scenario, from its empty stage to its audit.
async fn act(scenario: Scenario, place: &Place) -> Row {
    let row = |what: String, audit, verdict| Row { title: scenario.title(), what, audit, verdict };
    if scenario.needs_shared_store() && !place.address.is_shared() {
        let why =
            "With memory: the log dies with its process, and nobody can go on. Play it on another --store.";
        return row(why.into(), None, Verdict::NotPlayed);
    }
    let played = async {
        let stage = Stage::set(place, scenario.name()).await?;
        let told = scenario.play(&stage).await?;
        stage.quiet().await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((told, stage.audit().await?))
    };
    let (told, audit) = match played.await {
        Ok(played) => played,
        Err(error) => return row(String::new(), None, Verdict::Broken(vec![crate::chain(&*error)])),
    };
    let mut broken = audit.violations.clone();
    let orders = audit.orders;
    for (what, is, expected) in [
        ("paid orders", orders.paid, told.paid),
        ("refunded orders", orders.refunded, told.refunded),
        ("receipts", orders.receipts, told.paid + told.refunded),
    ] {
        if is != expected {
            broken.push(format!("there are {is} {what}, and not {expected}"));
        }
    }
    let verdict = if broken.is_empty() { Verdict::Sound } else { Verdict::Broken(broken) };
    row(told.what, Some(audit), verdict)
}
