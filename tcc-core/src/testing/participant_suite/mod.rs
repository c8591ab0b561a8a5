//! The conformance suite for actions: what a participant's author gives, and how a case is run.
//!
//! | file | subject |
//! | --- | --- |
//! | `table` | the fence's table as promises: what is expected of a phase, by what the branch has seen |
//! | `subject` | the fixture without its types: calls and answers as JSON, as the log has them |
//! | `learned` | what held, taken and given back look like in her data, from plain runs |
//! | `stage` | one fresh service, the calls made of it, and the story of them |
//! | `cases` | the cases, a file for each kind |

mod cases;
mod learned;
mod stage;
mod subject;
mod table;

use std::fmt;
use std::future::Future;

use super::case::{Case, run_case};
use crate::participant::{ActionType, Handler};
use learned::Learned;
use subject::{Start, Traits};

/// What a participant's author gives the suite: her service, what it is to be asked, and what her data say.
///
/// The example is in [`testing`](crate::testing#an-action-of-ones-own-proved). Where the suite is in `tests/`, outside of
/// the service's crate, make the method `pub`, and the types of what it takes and answers: the action's type is as visible
/// as its method, and a private one can't stand here (E0446, E0603).
pub trait ParticipantFixture: Send + Sync + 'static {
    /// The action under test. An `#[on_confirm]` action has no try, so the cases about tries pass of themselves.
    type Action: ActionType;

    /// Who does it.
    type Service: Handler<Self::Action>;

    /// What her data say: a tuple such as `(available, frozen, sold)` will do.
    type State: PartialEq + fmt::Debug + Send + Sync + 'static;

    /// Whether the action has a confirm of its own. `false` for a saga step, `#[action(cancel = undo)]`: its confirm
    /// does nothing.
    const CONFIRM: bool = true;

    /// Whether the action has a cancel of its own. `false` for `#[action(cancel = none)]`: there is nothing to undo.
    const CANCEL: bool = true;

    /// Whether what [`request`](Self::request) asks for runs out: so that, after 100 others have asked for the same at
    /// most, one of them is refused. `false`, if a refusal depends on the request alone. It says nothing where
    /// [`refused`](Self::refused) is `None`.
    const RUNS_OUT: bool = true;

    /// How many calls the longest orders of phases have: every order of so many is tried, each in a fresh service. 4
    /// are 81 orders, and as many with a refused request.
    const CALLS: usize = 4;

    /// Starts a service on fresh data, its fence included. Every start is alike: its [`state`](Self::state) is the
    /// same, and whatever was done to another service has left no trace in it.
    ///
    /// A case starts as many as it needs, one after the other, and drops them.
    fn start() -> impl Future<Output = Self> + Send
    where
        Self: Sized;

    /// The service.
    fn service(&self) -> &Self::Service;

    /// A request that succeeds in a fresh service. The number is 0 or 1, and the two succeed side by side: where a
    /// request is of one order, one coupon, one seat, they are of different ones.
    fn request(&self, number: u32) -> <Self::Action as ActionType>::Request;

    /// A request that is refused in a fresh service, for whatever reason; `None` if the action never refuses.
    fn refused(&self) -> Option<<Self::Action as ActionType>::Request>;

    /// What her data say now: all that an effect of the action changes. No times, no random ids, and nothing of the
    /// fence: two services that were asked the same are in the same state.
    ///
    /// It is read while no call is under way, through a connection of its own if that is easier.
    fn state(&self) -> impl Future<Output = Self::State> + Send;

    /// Whether nothing of a branch is left, given what her data said before it and say after its cancel: by default,
    /// whether both are the same. Say otherwise if a cancel leaves something to be seen, such as an order that is now
    /// called *cancelled*.
    fn undone(before: &Self::State, after: &Self::State) -> bool {
        before == after
    }
}

/// One case of the conformance suite for actions.
pub type ParticipantCase = Case<ParticipantSuite>;

/// An action under test: what a [`ParticipantCase`] is run on.
pub struct ParticipantSuite {
    start: Start,
    traits: Traits,
    learned: Learned,
}

impl ParticipantSuite {
    /// The action of a fixture.
    pub fn of<F: ParticipantFixture>() -> Self {
        Self::starting(F::start)
    }

    /// The action of a fixture that is started in another way: for a harness of one's own.
    pub fn starting<F, S>(start: impl Fn() -> S + Send + Sync + 'static) -> Self
    where
        F: ParticipantFixture,
        S: Future<Output = F> + Send + 'static,
    {
        Self { start: subject::starter(start), traits: Traits::of::<F>(), learned: Learned::default() }
    }
}

impl fmt::Debug for ParticipantSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParticipantSuite").field("action", &self.traits.action).finish_non_exhaustive()
    }
}

/// Runs one case by its name: what [`participant_suite!`](crate::testing::participant_suite) puts into each test.
///
/// # Panics
/// If the action breaks a promise: that is how a test fails. The message says which, tells the calls and their answers,
/// and says how to mend it.
pub async fn run_participant_case<F: ParticipantFixture>(name: &str) {
    run_case(participant_cases(), name, &ParticipantSuite::of::<F>()).await;
}

/// Every case of the conformance suite for actions.
pub fn participant_cases() -> &'static [ParticipantCase] {
    macro_rules! table {
        ({} $($module:ident: $($name:ident)+;)+) => {
            &[$($(Case { name: stringify!($name), needs: None, run: |suite| Box::pin(cases::$module::$name(suite)) },)+)+]
        };
    }
    crate::__participant_cases!([table] {})
}

/// Gives an action one `#[tokio::test]` per case of the conformance suite.
///
/// The argument is a [`ParticipantFixture`](crate::testing::ParticipantFixture); what follows it goes to
/// `#[tokio::test]` as it is: `participant_suite!(Freeze, flavor = "multi_thread")`, or `start_paused = true` for a
/// service that waits for nothing but tokio's clock. Several suites in one file stand in a module each.
#[macro_export]
macro_rules! participant_suite {
    ($fixture:ty $(, $($test:tt)+)?) => {
        $crate::__participant_cases! {
            [$crate::__suite_tests] { run_participant_case, $fixture, (), ($($($test)+)?) }
        }
    };
}
