//! The frame that the suites share: a case, how it is run, and the test made of it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::hooks::Hook;
use super::promise::Broken;
use super::suite::Suite;

/// One case of a conformance suite: of [`Suite`] for stores, of [`ParticipantSuite`](super::ParticipantSuite) for
/// actions.
pub struct Case<S = Suite> {
    pub(super) name: &'static str,
    pub(super) needs: Option<Hook>,
    pub(super) run: for<'a> fn(&'a S) -> CaseFuture<'a>,
}

pub(super) type CaseFuture<'a> = Pin<Box<dyn Future<Output = Result<(), Broken>> + 'a>>;

impl<S> Case<S> {
    /// Its name, which is the name of its test.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Runs it.
    ///
    /// # Errors
    /// [`Broken`] says which promise of the contract is not kept.
    pub async fn run(&self, suite: &S) -> Result<(), Broken> {
        (self.run)(suite).await
    }
}

impl Case {
    /// The hook that it needs, if any.
    ///
    /// # Panics
    /// It does when it is run on a suite without that hook: a case never passes without having done anything.
    pub const fn needs(&self) -> Option<Hook> {
        self.needs
    }
}

impl<S> Clone for Case<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Case<S> {}

impl<S> fmt::Debug for Case<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({})", self.name)
    }
}

/// Runs one case of a table by its name.
///
/// # Panics
/// If a promise is broken: that is how a test fails. The message says which, and how to mend it.
pub(super) async fn run_case<S>(cases: &[Case<S>], name: &str, suite: &S) {
    let case = cases.iter().find(|case| case.name == name).expect("the name is one of the table's");
    if let Err(broken) = case.run(suite).await {
        panic!("{name}: {broken}");
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! __suite_tests {
    ({ $run:ident, $fixture:ty, $arguments:tt, $test:tt } $($module:ident: $($name:ident)+;)+) => {
        $($($crate::__suite_test! { $run, $fixture, $arguments, $test, $name })+)+
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __suite_test {
    ($run:ident, $fixture:ty, ($($argument:tt)*), ($($test:tt)*), $name:ident) => {
        #[tokio::test($($test)*)]
        async fn $name() {
            $crate::testing::$run::<$fixture>(stringify!($name), $($argument)*).await;
        }
    };
}
