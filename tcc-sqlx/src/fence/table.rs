//! The table of DESIGN.md §6: what a phase does, by the row it finds. Pure and total.

use tcc_core::protocol::Phase;

use super::FenceState;

/// A row as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) state: FenceState,
    /// The try's output, as JSON.
    pub(crate) output: Option<String>,
    /// What was refused, as JSON.
    pub(crate) refusal: Option<String>,
    /// The delivery that came last of the phase that the state is of; rows of version 1 of the table have none.
    pub(crate) delivery: Option<String>,
}

/// What a phase does for which no row was found; it has just written [`Fresh::state`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fresh {
    /// The effect follows.
    Run(FenceState),
    /// Cancel of what never ran: the mark keeps its try from coming later.
    Mark,
    /// Confirm of what never ran: refused, and the row keeps its try from coming later.
    Lost,
}

impl Fresh {
    /// The row that is written.
    pub(crate) fn state(self) -> FenceState {
        match self {
            Self::Run(state) => state,
            Self::Mark => FenceState::Cancelled,
            Self::Lost => FenceState::Refused { phase: Phase::Confirm },
        }
    }
}

pub(crate) fn fresh(phase: Phase, on_confirm: bool) -> Fresh {
    match (phase, on_confirm) {
        (Phase::Try, _) => Fresh::Run(FenceState::Tried),
        (Phase::Confirm, true) => Fresh::Run(FenceState::Confirmed),
        (Phase::Confirm, false) => Fresh::Lost,
        (Phase::Cancel, _) => Fresh::Mark,
    }
}

/// What a phase does whose branch has a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// The effect follows, and the row becomes this.
    Run(FenceState),
    /// A repeat of a try: its first output.
    FirstOutput,
    /// A repeat of what was refused: the same refusal.
    SameRefusal,
    /// A try whose branch is over.
    TooLate,
    /// A repeat of confirm or cancel: done.
    Skip,
    /// Cancel of a refused try: nothing is to be undone, and the row becomes cancelled.
    Mark,
    /// What contradicts the row: refused, and the row stays.
    Contradicts(&'static str),
}

pub(crate) fn known(phase: Phase, state: FenceState) -> Known {
    use FenceState::{Cancelled, Confirmed, Refused, Tried};
    match (phase, state) {
        (Phase::Try, Tried | Confirmed) => Known::FirstOutput,
        (Phase::Try, Refused { phase: Phase::Try }) => Known::SameRefusal,
        (Phase::Try, Cancelled | Refused { phase: Phase::Confirm | Phase::Cancel }) => Known::TooLate,

        (Phase::Confirm, Tried) => Known::Run(Confirmed),
        (Phase::Confirm, Confirmed) => Known::Skip,
        (Phase::Confirm, Cancelled) => Known::Contradicts("it is cancelled already"),
        (Phase::Confirm, Refused { phase: Phase::Try }) => Known::Contradicts("its try was refused"),
        (Phase::Confirm, Refused { phase: Phase::Confirm | Phase::Cancel }) => Known::SameRefusal,

        (Phase::Cancel, Tried) => Known::Run(Cancelled),
        (Phase::Cancel, Confirmed) => Known::Contradicts("it is confirmed already"),
        (Phase::Cancel, Cancelled) => Known::Skip,
        (Phase::Cancel, Refused { phase: Phase::Try }) => Known::Mark,
        (Phase::Cancel, Refused { phase: Phase::Confirm | Phase::Cancel }) => Known::SameRefusal,
    }
}

/// Whether it was this phase that has brought the branch to this state: then a phase that comes is a repeat, or a second
/// call by the same handler.
pub(crate) fn own(phase: Phase, state: FenceState) -> bool {
    match state {
        FenceState::Tried => phase == Phase::Try,
        FenceState::Confirmed => phase == Phase::Confirm,
        FenceState::Cancelled => phase == Phase::Cancel,
        FenceState::Refused { phase: refused } => phase == refused,
    }
}

/// What a phase does whose branch has no row, and is older than the horizon: its row was final, and is purged. `None`: a try,
/// which has no effect, and whose coordinator is told why; for one that is alive, only a clock that is behind explains it.
pub(crate) fn purged(phase: Phase) -> Option<Known> {
    match phase {
        Phase::Try => None,
        Phase::Confirm | Phase::Cancel => Some(Known::Skip),
    }
}

/// Why a confirm without a row is refused.
pub(crate) const LOST: &str = "its try was lost: the participant's database knows nothing of this branch; \
                               or its try did not go through `fenced` on this database";
