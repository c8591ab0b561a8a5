//! The defects, one for each way in which an action may break a promise.

/// What is wrong with an action; with the first four, nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    None,
    /// Its phases wait for each other, as with one connection.
    Waits,
    /// Its phases do not wait for each other, nor for what was dropped to be rolled back: *unknown*, ask again.
    DoesNotWait,
    /// Refused where others say too late, and the other way round.
    AnswersOtherwise,

    // The fixture, and what nothing unusual happens to.
    StartIsShared,
    RequestCannotBeHad,
    RunsOutOfNothing,
    OutputCannotBeRead,
    OutputIsReadAsAnother,
    TryFails,
    ConfirmFails,
    CancelFails,
    CancelForgets,
    CancelNeedsTheOutput,
    RefusedTryIsDone,
    RefusedTryLeavesHalf,

    // Repeats.
    NoFence,
    BalanceBeforeRepeat,
    RepeatTakesWhatIsLeft,
    ConfirmChecksTheBalance,
    OutputDiffers,
    RepeatPanics,
    RepeatHangs,
    ConfirmPaysTwice,
    ConfirmAgainIsRefused,
    CancelGivesTwice,
    CancelAgainIsRefused,
    RefusalIsForgotten,
    RefusalDiffers,

    // Orders.
    CancelWithoutTryFails,
    CancelWithoutTryGivesBack,
    CancelLeavesNoMark,
    LateTryIsDone,
    LateTryTakes,
    ConfirmTakesTheCancelled,
    ConfirmOfTheCancelledIsDone,
    CancelGivesBackTheConfirmed,
    CancelOfTheConfirmedIsDone,
    ConfirmWithoutTryIsDone,
    ConfirmWithoutTryLeavesNoMark,
    ConfirmOfTheRefusedIsDone,
    CancelAfterTheLostConfirmGivesBack,
    CancelOfTheRefusedFails,
    CancelOfTheRefusedGivesBack,
    RepeatReopensTheConfirmed,

    // Calls that are dropped.
    RowIsCommittedFirst,
    EffectIsCommittedFirst,
    RefusalTakesFirst,
    ConfirmIsTwoWrites,
    CancelIsTwoWrites,
    DroppedTryIsHalfUntilRepeated,
    DroppedTryIsHalfWhenCancelled,
    DroppedRefusalIsHalfUntilCancelled,
    DroppedTryHoldsUpItsCancel,
    DroppedTryLocksTheData,

    // Calls at once.
    TryLooksThenWrites,
    ConfirmLooksThenWrites,
    CancelLooksThenWrites,
    SecondTryIsRefused,
    SecondTryHasItsOwnOutput,
    CancelOfATryUnderWayIsRefused,

    // The key.
    RowIsOfTheTransaction,
    RowIsOfTheNumber,
    RowForgetsTheRun,
    CancelGivesBackAllOfATransaction,
    CancelMarksAllOfATransaction,
    TryLooksAtAllOfATransaction,
    ConfirmLooksAtAllOfATransaction,
    ConfirmTakesAllOfATransaction,
}
