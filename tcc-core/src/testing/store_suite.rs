//! The conformance suite for stores: its cases as a table, and as tests.

use super::case::{Case, run_case};
use super::cases;
use super::hooks::{Hook, Hooks};
use super::suite::{StoreFixture, Suite};

/// Runs one case by its name: what [`store_suite!`](crate::testing::store_suite) puts into each test.
///
/// # Panics
/// If the store breaks a promise: that is how a test fails. The message says which, and how to mend it.
pub async fn run_store_case<F: StoreFixture>(name: &str, hooks: Hooks<F>) {
    let case =
        store_cases().into_iter().find(|case| case.name == name).expect("the name is one of the table's");
    let fixture = match case.needs {
        None | Some(Hook::Damage) => F::start().await,
        Some(Hook::ClockAhead | Hook::ClockBack | Hook::Metered) => F::start_alone().await,
    };
    run_case(&[case], name, &Suite::with(fixture, hooks).await).await;
}

/// Every case of the conformance suite, with those that need a hook.
pub fn store_cases() -> Vec<Case> {
    macro_rules! table {
        ({ $needs:expr } $($module:ident: $($name:ident)+;)+) => {
            [$($(Case {
                name: stringify!($name),
                needs: $needs,
                run: |suite: &Suite| {
                    suite.must_have($needs, stringify!($name));
                    Box::pin(cases::$module::$name(suite))
                },
            },)+)+]
        };
    }
    let mut cases = Vec::new();
    cases.extend(crate::__store_cases!([table] { None }));
    cases.extend(crate::__damage_cases!([table] { Some(Hook::Damage) }));
    cases.extend(crate::__clock_ahead_cases!([table] { Some(Hook::ClockAhead) }));
    cases.extend(crate::__clock_back_cases!([table] { Some(Hook::ClockBack) }));
    cases.extend(crate::__metered_cases!([table] { Some(Hook::Metered) }));
    cases
}

/// Gives a store one `#[tokio::test]` per case of the conformance suite.
///
/// The argument is a [`StoreFixture`](crate::testing::StoreFixture). Behind a colon follow the hooks that it
/// implements, each of which brings its cases: [`Damage`](crate::testing::Damage),
/// [`ClockAhead`](crate::testing::ClockAhead), [`ClockBack`](crate::testing::ClockBack),
/// [`Metered`](crate::testing::Metered). What follows behind a comma goes to `#[tokio::test]` as it is:
/// `store_suite!(Redis: Damage + Metered, flavor = "multi_thread")`, or `start_paused = true` for a store whose clock
/// is tokio's.
#[macro_export]
macro_rules! store_suite {
    ($fixture:ty $(: $first:ident $(+ $more:ident)*)? $(, $($test:tt)+)?) => {
        $crate::__store_suite! { $fixture, [$($first $($more)*)?], ($($($test)+)?) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_suite {
    ($fixture:ty, [$($hook:ident)*], $test:tt) => {
        $crate::__store_hook! { none, __store_cases, $fixture, $test }
        $($crate::__store_suite! { @ $hook, $fixture, $test })*
    };
    (@ Damage, $fixture:ty, $test:tt) => {
        $crate::__store_hook! { damage, __damage_cases, $fixture, $test }
    };
    (@ ClockAhead, $fixture:ty, $test:tt) => {
        $crate::__store_hook! { clock_ahead, __clock_ahead_cases, $fixture, $test }
    };
    (@ ClockBack, $fixture:ty, $test:tt) => {
        $crate::__store_hook! { clock_back, __clock_back_cases, $fixture, $test }
    };
    (@ Metered, $fixture:ty, $test:tt) => {
        $crate::__store_hook! { metered, __metered_cases, $fixture, $test }
    };
    (@ $other:ident, $fixture:ty, $test:tt) => {
        compile_error!(concat!(
            "`",
            stringify!($other),
            "` is no hook of the conformance suite: write Damage, ClockAhead, ClockBack or Metered"
        ));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_hook {
    (none, $cases:ident, $fixture:ty, $test:tt) => {
        $crate::$cases! {
            [$crate::__suite_tests]
            { run_store_case, $fixture, ($crate::testing::Hooks::<$fixture>::none()), $test }
        }
    };
    ($hook:ident, $cases:ident, $fixture:ty, $test:tt) => {
        $crate::$cases! {
            [$crate::__suite_tests]
            { run_store_case, $fixture, ($crate::testing::Hooks::<$fixture>::none().$hook()), $test }
        }
    };
}
