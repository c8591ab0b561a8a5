//! A case of the conformance suite, and how it is run.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::cases;
use super::hooks::{Hook, Hooks};
use super::promise::Broken;
use super::suite::{StoreFixture, Suite};

/// One case of the conformance suite.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    needs: Option<Hook>,
    run: for<'a> fn(&'a Suite) -> CaseFuture<'a>,
}

type CaseFuture<'a> = Pin<Box<dyn Future<Output = Result<(), Broken>> + 'a>>;

impl Case {
    /// Its name, which is the name of its test.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The hook that it needs, if any.
    pub const fn needs(&self) -> Option<Hook> {
        self.needs
    }

    /// Runs it.
    ///
    /// # Errors
    /// [`Broken`] says which promise of the contract the store does not keep.
    ///
    /// # Panics
    /// If it needs a hook that the suite was not given: a case never passes without having done anything.
    pub async fn run(&self, suite: &Suite) -> Result<(), Broken> {
        if let Some(hook) = self.needs {
            let name = self.name;
            assert!(
                suite.has(hook),
                "{name} needs the hook {hook:?}: implement it, and give it to Suite::with"
            );
        }
        (self.run)(suite).await
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({})", self.name)
    }
}

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
    let suite = Suite::with(fixture, hooks).await;
    if let Err(broken) = case.run(&suite).await {
        panic!("{name}: {broken}");
    }
}

/// Every case of the conformance suite, with those that need a hook.
pub fn store_cases() -> Vec<Case> {
    macro_rules! table {
        ({ $needs:expr } $($module:ident: $($name:ident)+;)+) => {
            [$($(Case {
                name: stringify!($name),
                needs: $needs,
                run: |suite| Box::pin(cases::$module::$name(suite)),
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
        $crate::__store_cases! { [$crate::__store_tests] { $fixture, [], $test } }
        $($crate::__store_hook! { $hook, $fixture, $test })*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_hook {
    (Damage, $fixture:ty, $test:tt) => {
        $crate::__damage_cases! { [$crate::__store_tests] { $fixture, [.damage()], $test } }
    };
    (ClockAhead, $fixture:ty, $test:tt) => {
        $crate::__clock_ahead_cases! { [$crate::__store_tests] { $fixture, [.clock_ahead()], $test } }
    };
    (ClockBack, $fixture:ty, $test:tt) => {
        $crate::__clock_back_cases! { [$crate::__store_tests] { $fixture, [.clock_back()], $test } }
    };
    (Metered, $fixture:ty, $test:tt) => {
        $crate::__metered_cases! { [$crate::__store_tests] { $fixture, [.metered()], $test } }
    };
    ($other:ident, $fixture:ty, $test:tt) => {
        compile_error!(concat!(
            "`",
            stringify!($other),
            "` is no hook of the conformance suite: write Damage, ClockAhead, ClockBack or Metered"
        ));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_tests {
    ({ $fixture:ty, $hooks:tt, $test:tt } $($module:ident: $($name:ident)+;)+) => {
        $($($crate::__store_test! { $fixture, $hooks, $test, $name })+)+
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_test {
    ($fixture:ty, [$($hooks:tt)*], ($($test:tt)*), $name:ident) => {
        #[tokio::test($($test)*)]
        async fn $name() {
            let hooks = $crate::testing::Hooks::<$fixture>::none()$($hooks)*;
            $crate::testing::run_store_case(stringify!($name), hooks).await;
        }
    };
}
