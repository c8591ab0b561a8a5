//! The documentation of the metrics, held against the code.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tcc_core::metrics::{ALL, Kind};

use crate::rig::{Does, Rig, Told, WORKS};

const DOCS: &str = include_str!("../../src/metrics.rs");

#[test]
fn the_table_in_the_docs_is_what_is_measured() {
    let rows: Vec<String> = ALL
        .iter()
        .map(|metric| {
            let labels: Vec<_> = metric.labels[1..].iter().map(|label| format!("`{label}`")).collect();
            format!("//! | `{}` | {} | {} | {} |", metric.name, metric.kind, labels.join(", "), metric.about)
        })
        .collect();
    let documented: Vec<&str> = DOCS.lines().filter(|line| line.starts_with("//! | `tcc_")).collect();
    assert_eq!(documented, rows, "put this into src/metrics.rs:\n{}\n", rows.join("\n"));
}

#[test]
fn names_follow_the_convention() {
    let mut names = BTreeSet::new();
    for metric in ALL {
        let (name, kind) = (metric.name, metric.kind);
        assert!(names.insert(name), "{name} is there twice");
        assert!(name.starts_with("tcc_"), "{name}");
        assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "{name}");
        assert_eq!(kind == Kind::Histogram, name.ends_with("_duration_seconds"), "{name}");
        assert_eq!(metric.labels[0], "group", "{name}");
    }
}

/// All that is ever told has a row, with these labels and no others; and no label holds an id or an error's text.
#[tokio::test(start_paused = true)]
async fn whatever_is_told_is_in_the_table() {
    let rig = Rig::with(|builder| builder.alert_after(2)).await;
    let id = rig.pay(&[Told { confirm: Does::WhenUp, ..WORKS }]).await.unwrap();
    rig.pay(&[Told { confirm: Does::Refuse, ..WORKS }]).await.unwrap();
    rig.pay(&[Told { r#try: Does::Fail, ..WORKS }]).await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(120)).await;
    rig.bank.up.store(true, Ordering::SeqCst);
    rig.tcc.settled(id).await.unwrap();
    let series = rig.seen.series();
    assert!(series.len() > 40, "{}", series.len());
    for (name, labels) in series {
        let metric = ALL.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("{name}"));
        let expected: BTreeSet<&str> = metric.labels.iter().copied().collect();
        assert_eq!(labels.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{name}");
        for (label, value) in labels {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-.()".contains(c);
            let is_plain = value.len() <= 64 && value.chars().all(plain) && !value.contains(&id.to_string());
            assert!(is_plain, "{name}: {label}={value}");
        }
    }
}
