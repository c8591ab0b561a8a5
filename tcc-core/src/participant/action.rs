//! What an action is, and who does it.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::answer::{Settled, Tried};
use super::branch::Branch;

/// A value that is kept in the log: a request, an output, a refusal.
///
/// Every type that is `Serialize + DeserializeOwned + Send + Sync + 'static` is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be kept in the transaction's log",
    label = "not a payload",
    note = "a request, an output and a refusal are written to the log and read back, perhaps by another process: \
            derive `serde::Serialize` and `serde::Deserialize`, and own all data (`String`, not `&str`)"
)]
// Here as well as below: rustc takes the bounds of a trait apart as it does those of an `impl`.
#[allow(misplaced_diagnostic_attributes, reason = "it has its effect where it stands")]
#[diagnostic::do_not_recommend]
pub trait Payload: Serialize + DeserializeOwned + Send + Sync + 'static {}

// So that rustc speaks of `Payload`, and not of each of its parts.
#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Payload for T {}

/// What an action is: its persisted name and its payloads. It needs no service: a client has it too.
pub trait ActionType: Send + Sync + 'static {
    /// The persisted name, `participant.action`. Changing it strands the transactions that are under way.
    const NAME: &'static str;

    /// The version of the payloads. Old and new are handled side by side, each by its own [`Handler`].
    const VERSION: u16 = 1;

    /// Whether it has no try: it is acknowledged by being enlisted, and done when the transaction confirms.
    const ON_CONFIRM: bool = false;

    /// How long one call may take, in any phase; `None` for the coordinator's default.
    const TIMEOUT: Option<Duration> = None;

    /// How often a try is asked at most, within the transaction's deadline, while its answer is *unknown*. 1: it is not asked
    /// again; 100 at most. A repeat is safe for a participant with a fence: it gets the first answer.
    const TRIES: u32 = 1;

    /// What is asked for.
    type Request: Payload;

    /// What a try returns, and confirm and cancel are given.
    type Output: Payload;

    /// A definite refusal. It crosses processes, so it is plain data.
    type Error: Payload + fmt::Debug + fmt::Display;
}

/// Does an action: its three phases.
///
/// Each may be called more than once, in any order, and at the same time: a [fence](crate#the-fence) gives every phase
/// exactly one effect. A call that exceeds its time limit is dropped; it counts as unknown.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle the action `{A}`",
    note = "implement `Handler<{A}>` for it, or let `#[participant]` and `#[action]` do so"
)]
pub trait Handler<A: ActionType>: Send + Sync + 'static {
    /// Puts aside what the operation needs.
    fn r#try(
        &self,
        cx: &Branch,
        request: A::Request,
    ) -> impl Future<Output = Tried<A::Output, A::Error>> + Send;

    /// Takes what was put aside.
    fn confirm(
        &self,
        cx: &Branch,
        request: A::Request,
        output: A::Output,
    ) -> impl Future<Output = Settled> + Send;

    /// Gives back what was put aside. `output` is `None` if the try never answered; it may have had its effect all the
    /// same.
    fn cancel(
        &self,
        cx: &Branch,
        request: A::Request,
        output: Option<A::Output>,
    ) -> impl Future<Output = Settled> + Send;
}

/// The refusal of an action that never refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Never {}

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for Never {}
