//! The settings of a coordinator.

use std::sync::Arc;
use std::time::Duration;

use tcc_core::store::MemoryStore;
use tcc_core::{Backoff, Builder, ConfigError, Coordinator, SettleOrder, StartError, Tx};

use crate::sizes::{Echo, Error, Say, said};

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);
const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
const NANO: Duration = Duration::from_nanos(1);
/// What the default store_timeout asks of every retention.
const REPLAY: Duration = Duration::from_secs(80);

fn backoff(base: Duration, cap: Duration) -> Backoff {
    Backoff { base, cap }
}

/// Starts, runs a transaction and ends: whatever is permitted must bear that.
async fn live(set: impl FnOnce(Builder) -> Builder) -> Result<(), ConfigError> {
    let builder = Coordinator::builder("test", MemoryStore::new()).register(Echo);
    let tcc = match set(builder).start().await {
        Ok(tcc) => tcc,
        Err(StartError::Config(error)) => return Err(error),
        Err(other) => panic!("{other}"),
    };
    // Within a millisecond of paused time, as a timeout may be that short.
    let id = tcc.run("pay", async |tx: &Tx| {
        tx.call::<Say>(said(0, 0)).await?;
        Ok::<_, Error>(tx.id())
    });
    // A payload of a byte is permitted, and too small for this one.
    if let Ok(id) = id.await {
        assert!(tcc.settled(id).await.unwrap().is_some());
    }
    let keyed = tcc.transaction("keyed").timeout(MS).key("k").run(async |_: &Tx| Ok::<_, Error>(1)).await;
    assert_eq!(keyed.unwrap(), 1);
    tcc.shutdown().await;
    Ok(())
}

type Set = Box<dyn FnOnce(Builder) -> Builder>;

fn set(set: impl FnOnce(Builder) -> Builder + 'static) -> Set {
    Box::new(set)
}

#[tokio::test(start_paused = true)]
async fn every_setting_is_taken_at_its_bounds() {
    let taken: Vec<Set> = vec![
        set(|b| b.timeout(MS)),
        set(|b| b.timeout(DAY).key_retention(DAY + REPLAY)),
        set(|b| b.call_timeout(MS)),
        set(|b| b.call_timeout(DAY)),
        set(|b| b.store_timeout(MS)),
        set(|b| b.store_timeout(60_000 * MS)),
        set(|b| b.lease(100 * MS)),
        set(|b| b.lease(DAY)),
        set(|b| b.retention(REPLAY)),
        set(|b| b.retention(CENTURY)),
        set(|b| b.key_retention(REPLAY + MS)),
        set(|b| b.key_retention(CENTURY)),
        set(|b| b.audit_retention(REPLAY)),
        set(|b| b.audit_retention(CENTURY)),
        set(|b| b.backoff(backoff(MS, MS))),
        set(|b| b.backoff(backoff(DAY, DAY))),
        set(|b| b.alert_after(1)),
        set(|b| b.alert_after(u32::MAX)),
        set(|b| b.recover_at_once(1)),
        set(|b| b.recover_at_once(usize::MAX)),
        set(|b| b.calls_at_once(1)),
        set(|b| b.calls_at_once(usize::MAX)),
        set(|b| b.max_payload(1)),
        set(|b| b.max_payload(16 << 20).max_log(16 << 20)),
        set(|b| b.max_log(64 << 20)),
        set(|b| b.max_branches(1)),
        set(|b| b.max_branches(1024)),
        set(|b| b.settle_order(SettleOrder::Reverse)),
    ];
    for (number, set) in taken.into_iter().enumerate() {
        assert_eq!(live(set).await, Ok(()), "number {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_beyond_is_refused_by_name_value_and_range() {
    let max = "18446744073709551615 s";
    let long = Duration::MAX;
    let replay =
        "80 s to 100 years (1 min and twice the store_timeout of 10 s, for so long a write may still arrive)";
    let refused: Vec<(Set, &'static str, String, &'static str)> = vec![
        (set(|b| b.timeout(Duration::ZERO)), "timeout", "0 s".into(), "1 ms to 24 h"),
        (set(|b| b.timeout(MS - NANO)), "timeout", "999999 ns".into(), "1 ms to 24 h"),
        (set(|b| b.timeout(DAY + MS)), "timeout", "86400001 ms".into(), "1 ms to 24 h"),
        (set(move |b| b.timeout(long)), "timeout", max.into(), "1 ms to 24 h"),
        (set(|b| b.call_timeout(Duration::ZERO)), "call_timeout", "0 s".into(), "1 ms to 24 h"),
        (set(move |b| b.call_timeout(long)), "call_timeout", max.into(), "1 ms to 24 h"),
        (set(|b| b.store_timeout(Duration::ZERO)), "store_timeout", "0 s".into(), "1 ms to 1 min"),
        (set(|b| b.store_timeout(60_001 * MS)), "store_timeout", "60001 ms".into(), "1 ms to 1 min"),
        (set(move |b| b.store_timeout(long)), "store_timeout", max.into(), "1 ms to 1 min"),
        (set(|b| b.lease(99 * MS)), "lease", "99 ms".into(), "100 ms to 24 h"),
        (set(|b| b.lease(Duration::ZERO)), "lease", "0 s".into(), "100 ms to 24 h"),
        (set(move |b| b.lease(long)), "lease", max.into(), "100 ms to 24 h"),
        (set(|b| b.retention(REPLAY - MS)), "retention", "79999 ms".into(), replay),
        (set(|b| b.retention(Duration::ZERO)), "retention", "0 s".into(), replay),
        (set(|b| b.retention(CENTURY + MS)), "retention", "3153600000001 ms".into(), replay),
        (set(move |b| b.key_retention(long)), "key_retention", max.into(), replay),
        (set(move |b| b.audit_retention(long)), "audit_retention", max.into(), replay),
        (set(|b| b.key_retention(REPLAY - MS)), "key_retention", "79999 ms".into(), replay),
        (set(|b| b.audit_retention(REPLAY - MS)), "audit_retention", "79999 ms".into(), replay),
        (
            set(|b| b.store_timeout(60_000 * MS).retention(180_000 * MS - NANO)),
            "retention",
            "179999999999 ns".into(),
            "3 min to 100 years (1 min and twice the store_timeout of 1 min, for so long a write may still arrive)",
        ),
        (set(|b| b.backoff(backoff(Duration::ZERO, DAY))), "backoff.base", "0 s".into(), "1 ms to 24 h"),
        (set(|b| b.backoff(backoff(2 * MS, MS))), "backoff.base", "2 ms".into(), "1 ms to 1 ms"),
        (set(move |b| b.backoff(backoff(MS, long))), "backoff.cap", max.into(), "1 ms to 24 h"),
        (set(|b| b.alert_after(0)), "alert_after", "0".into(), "1 or more"),
        (set(|b| b.recover_at_once(0)), "recover_at_once", "0".into(), "1 or more"),
        (set(|b| b.calls_at_once(0)), "calls_at_once", "0".into(), "1 or more"),
        (set(|b| b.max_payload(0)), "max_payload", "0".into(), "1 to 16777216 bytes"),
        (
            set(|b| b.max_payload((16 << 20) + 1).max_log(64 << 20)),
            "max_payload",
            "16777217".into(),
            "1 to 16777216 bytes",
        ),
        (set(|b| b.max_payload(usize::MAX)), "max_payload", usize::MAX.to_string(), "1 to 16777216 bytes"),
        (
            set(|b| b.max_log((64 << 10) - 1)),
            "max_log",
            "65535".into(),
            "65536 to 67108864 bytes (not less than max_payload)",
        ),
        (
            set(|b| b.max_log(usize::MAX)),
            "max_log",
            usize::MAX.to_string(),
            "65536 to 67108864 bytes (not less than max_payload)",
        ),
        (set(|b| b.max_branches(0)), "max_branches", "0".into(), "1 to 1024 branches"),
        (set(|b| b.max_branches(1025)), "max_branches", "1025".into(), "1 to 1024 branches"),
        (set(|b| b.max_branches(usize::MAX)), "max_branches", usize::MAX.to_string(), "1 to 1024 branches"),
    ];
    for (set, field, value, permitted) in refused {
        let error = live(set).await.expect_err(field);
        assert_eq!(
            error.to_string(),
            format!("the setting {field} is {value}: {permitted} is permitted"),
            "{field}"
        );
        assert_eq!((error.field, error.value), (field, value));
    }
}

/// A lease shorter than a call, and than a store that is slow: whoever holds it renews it, or loses it and writes no more.
/// So neither is refused; `peers_03` and `renewal` show the rest.
#[tokio::test(start_paused = true)]
async fn a_lease_may_be_shorter_than_a_call() {
    let store = Arc::new(MemoryStore::new());
    let echo = Arc::new(Echo);
    let builder = || Coordinator::builder("test", store.clone()).register(echo.clone());
    let short = |b: Builder| b.lease(100 * MS).call_timeout(DAY).store_timeout(60_000 * MS);
    let (first, second) = (
        short(builder()).start().await.unwrap(),
        // Another one of the group, which would take it over as soon as it could.
        short(builder()).start().await.unwrap(),
    );
    let slow = Say { confirm_takes: Duration::from_secs(600), ..said(1, 1) };
    let id = first
        .run("pay", async |tx: &Tx| {
            tx.call::<Say>(slow).await?;
            Ok::<_, Error>(tx.id())
        })
        .await
        .unwrap();
    assert_eq!(second.settled(id).await.unwrap(), Some(tcc_core::protocol::Status::Confirmed));
    assert_eq!(Echo::confirms(id), 1, "it was confirmed by both");
}

/// Whoever mends one setting is not told of the next only then.
#[tokio::test(start_paused = true)]
async fn all_that_is_wrong_is_said_at_once() {
    let builder = || Coordinator::builder("test", MemoryStore::new());
    let wrong = Coordinator::builder("no group", MemoryStore::new())
        .timeout(Duration::ZERO)
        .store_timeout(Duration::MAX)
        .alert_after(0)
        .max_payload(0)
        .backoff(backoff(Duration::ZERO, Duration::ZERO))
        .register(Echo)
        .register(Echo);
    let error = wrong.start().await.unwrap_err();
    let StartError::Several(errors) = &error else { panic!("{error}") };
    let fields: Vec<&str> = errors
        .iter()
        .filter_map(|error| match error {
            StartError::Config(error) => Some(error.field),
            _ => None,
        })
        .collect();
    let mut sorted = fields.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        ["alert_after", "backoff.base", "backoff.cap", "max_payload", "store_timeout", "timeout"]
    );
    assert!(matches!(errors[0], StartError::Group(_)), "{error}");
    assert!(errors.iter().any(|error| matches!(error, StartError::Register(_))), "{error}");
    let said = error.to_string();
    assert!(said.starts_with(&format!("{} things are wrong: the group can't be", errors.len())), "{said}");
    assert!(errors.iter().all(|error| said.contains(&error.to_string())), "{said}");

    // One is said as it is.
    let error = builder().register(Echo).register(Echo).timeout(DAY).key_retention(2 * DAY).start().await;
    assert!(matches!(error, Err(StartError::Register(_))), "{error:?}");
}

#[test]
fn a_runtime_without_timers_is_named() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(Coordinator::builder("test", MemoryStore::new()).start()).unwrap_err();
    assert!(matches!(error, StartError::NoTimers), "{error}");
    assert!(error.to_string().contains("enable_time()"), "{error}");
}
