//! The frame that the suites share: a case, a promise, and how a promise is found broken.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::suite::Suite;

/// One case of a conformance suite: of [`Suite`] for stores, of [`ParticipantSuite`](super::ParticipantSuite) for
/// actions.
pub struct Case<S = Suite> {
    pub(super) name: &'static str,
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

/// A promise of the contract that a store or an action does not keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The promise.
    pub promise: &'static str,
    /// What was found instead.
    pub found: String,
    /// How to mend it.
    pub mend: &'static str,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a promise of the contract is broken\n  promise: {}\n  found:   {}\n  to mend: {}",
            self.promise, self.found, self.mend
        )
    }
}

impl std::error::Error for Broken {}

/// A promise of the contract, and how one that does not keep it is mended.
pub(super) struct Promise {
    says: &'static str,
    mend: &'static str,
}

impl Promise {
    pub(super) const fn new(says: &'static str, mend: &'static str) -> Self {
        Self { says, mend }
    }

    pub(super) fn broken(&self, found: impl Into<String>) -> Broken {
        Broken { promise: self.says, found: found.into(), mend: self.mend }
    }

    pub(super) fn holds(&self, holds: bool, found: impl FnOnce() -> String) -> Result<(), Broken> {
        if holds { Ok(()) } else { Err(self.broken(found())) }
    }

    pub(super) fn equal<T: PartialEq + fmt::Debug>(
        &self,
        what: &str,
        found: &T,
        wanted: &T,
    ) -> Result<(), Broken> {
        self.holds(found == wanted, || format!("{what}: {found:?} where {wanted:?} was expected"))
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
    ({ $run:ident, $fixture:ty, $test:tt } $($module:ident: $($name:ident)+;)+) => {
        $($($crate::__suite_test! { $run, $fixture, $test, $name })+)+
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __suite_test {
    ($run:ident, $fixture:ty, ($($test:tt)*), $name:ident) => {
        #[tokio::test($($test)*)]
        async fn $name() {
            $crate::testing::$run::<$fixture>(stringify!($name)).await;
        }
    };
}
