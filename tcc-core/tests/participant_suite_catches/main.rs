//! The suite for actions is itself held to something: actions with one defect each, which it must catch by the right
//! case, for the right reason.

mod data;
mod defect;
mod fixtures;
mod flawed;
mod shapes;

use std::sync::Arc;

use defect::Defect;
use flawed::Flawed;
use tcc_core::testing::{Broken, ParticipantCase, ParticipantSuite, participant_cases};

/// A suite on an action with this defect.
fn suite(defect: Defect) -> ParticipantSuite {
    let shared = Arc::new(Flawed::with(defect));
    ParticipantSuite::starting(move || {
        let shared = shared.clone();
        async move { if defect == Defect::StartIsShared { shared.shared() } else { Flawed::with(defect) } }
    })
}

/// Runs one case, on a clock of its own.
fn run(case: &ParticipantCase, suite: &ParticipantSuite) -> Result<(), Broken> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(case.run(suite))
}

fn case(name: &str) -> &'static ParticipantCase {
    participant_cases().iter().find(|case| case.name() == name).unwrap_or_else(|| panic!("no case {name}"))
}

/// Each case by itself: what one has learned is not lent to another.
fn failures(defect: Defect) -> Vec<(&'static str, Broken)> {
    let failed = |case: &ParticipantCase| Some((case.name(), run(case, &suite(defect)).err()?));
    participant_cases().iter().filter_map(failed).collect()
}

#[test]
fn an_action_without_a_defect_passes() {
    for sound in [Defect::None, Defect::Waits, Defect::DoesNotWait, Defect::AnswersOtherwise] {
        if let Some((name, broken)) = failures(sound).first() {
            panic!("{sound:?}: {name}: {broken}");
        }
    }
}

/// One that waits for what the other holds is not waited for until its time limit.
#[test]
fn two_calls_at_once_do_not_hold_each_other_up() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let begun = tokio::time::Instant::now();
        case("two_tries_at_once_have_one_effect").run(&suite(Defect::Waits)).await.unwrap();
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_failure_tells_the_calls_and_how_to_mend_it() {
    let broken = run(case("a_late_try_is_an_error"), &suite(Defect::LateTryIsDone)).unwrap_err();
    let story = "a promise of the contract is broken\n  \
         promise: a try that comes after its branch's cancel is an error, and has no effect\n  \
         found:   expected too late, got done, with the output {\"serial\":0,\"mark\":\"Plain\"}\n    \
         at first\n       (10, 0, 0)\n    \
         1. cancel, without the output: done\n    \
         2. try: done, with the output {\"serial\":0,\"mark\":\"Plain\"}\n  \
         to mend: let cancel leave a row for the branch even if there is nothing to undo, and answer a try that finds it \
         with `Err(TryFailure::TooLate)`";
    assert_eq!(broken.to_string(), story);
}

/// It is not the action's fault that there is so much of what it gives.
#[test]
fn an_unfit_fixture_is_not_called_a_broken_promise() {
    for (defect, by) in [
        (Defect::RunsOutOfNothing, "a_repeated_try_is_seen_before_any_check"),
        (Defect::StartIsShared, "every_start_is_alike"),
    ] {
        let broken = run(case(by), &suite(defect)).unwrap_err();
        assert!(broken.unfit, "{broken}");
        let said = broken.to_string();
        assert!(
            said.starts_with("the fixture is unfit, and nothing is said of what it starts\n  needed:  "),
            "{said}"
        );
    }
    assert!(!run(case("a_late_try_is_an_error"), &suite(Defect::LateTryIsDone)).unwrap_err().unfit);
}

/// That it is caught by this case, and that the failure speaks of this.
fn caught(defect: Defect, by: &str, promise: &str) {
    match run(case(by), &suite(defect)) {
        Err(broken) => {
            assert!(broken.promise.contains(promise), "{defect:?} fails {by} for another reason: {broken}");
            assert!(broken.mend.len() > 10 && broken.found.len() > 10, "{broken}");
        }
        Ok(()) => {
            let by_others: Vec<_> = failures(defect).into_iter().map(|(name, _)| name).collect();
            panic!("{defect:?} is not caught by {by}, only by {by_others:?}");
        }
    }
}

macro_rules! caught {
    ($($test:ident: $defect:ident by $case:ident, $promise:literal;)+) => {
        $(
            #[test]
            fn $test() {
                caught(Defect::$defect, stringify!($case), $promise);
            }
        )+

        /// Every case is shown to catch something: one that cannot fail proves nothing.
        #[test]
        fn every_case_catches_a_defect() {
            let named = [$(stringify!($case)),+];
            let idle: Vec<_> =
                participant_cases().iter().map(|case| case.name()).filter(|name| !named.contains(name)).collect();
            assert!(idle.is_empty(), "no defect is caught by {idle:?}");
        }
    };
}

caught! {
    start_is_shared: StartIsShared by every_start_is_alike, "every start";
    request_cannot_be_had: RequestCannotBeHad by every_phase_is_answered, "can be done";
    runs_out_of_nothing: RunsOutOfNothing by a_repeated_try_is_seen_before_any_check, "runs out";
    output_cannot_be_read: OutputCannotBeRead by payloads_survive_the_log, "survive the log";
    output_is_read_as_another: OutputIsReadAsAnother by payloads_survive_the_log, "survive the log";
    try_fails: TryFails by every_phase_is_answered, "can be done";
    confirm_fails: ConfirmFails by every_phase_is_answered, "a confirm takes";
    confirm_fails_in_a_plain_run: ConfirmFails by a_dropped_confirm_is_whole_or_absent, "a confirm takes";
    cancel_fails: CancelFails by every_phase_is_answered, "a cancel gives back";
    cancel_forgets: CancelForgets by a_cancel_gives_back_what_the_try_took, "as it was before";
    cancel_needs_the_output: CancelNeedsTheOutput by a_cancel_needs_no_output, "nobody knows its output";
    refused_try_is_done: RefusedTryIsDone by a_refused_try_changes_nothing, "is refused";
    refused_try_leaves_half: RefusedTryLeavesHalf by a_refused_try_changes_nothing, "changes nothing";

    no_fence: NoFence by a_repeated_try_answers_the_first_output, "changes nothing";
    no_fence_at_once: NoFence by two_tries_at_once_have_one_effect, "the same output";
    peers_13_a_balance_that_is_checked_before_the_repeat_is_caught:
        BalanceBeforeRepeat by a_repeated_try_is_seen_before_any_check, "could not be had any more";
    repeat_takes_what_is_left: RepeatTakesWhatIsLeft by a_repeated_try_is_seen_before_any_check, "could not be had any more";
    confirm_checks_the_balance: ConfirmChecksTheBalance by a_repeated_try_is_seen_before_any_check, "a confirm takes";
    output_differs: OutputDiffers by a_repeated_try_answers_the_first_output, "first output";
    repeat_panics: RepeatPanics by a_repeated_try_answers_the_first_output, "first output";
    repeat_hangs: RepeatHangs by a_repeated_try_answers_the_first_output, "first output";
    confirm_pays_twice: ConfirmPaysTwice by a_repeated_confirm_has_one_effect, "a repeat of a confirm";
    confirm_again_is_refused: ConfirmAgainIsRefused by a_repeated_confirm_has_one_effect, "a repeat of a confirm";
    cancel_gives_twice: CancelGivesTwice by a_repeated_cancel_has_one_effect, "a repeat of a cancel";
    cancel_again_is_refused: CancelAgainIsRefused by a_repeated_cancel_has_one_effect, "a repeat of a cancel";
    refusal_is_forgotten: RefusalIsForgotten by a_refusal_is_sticky, "sticky";
    cancel_fails_for_others: CancelFails by a_refusal_is_sticky, "a cancel gives back";
    cancel_of_the_refused_gives_back_later: CancelOfTheRefusedGivesBack by a_refusal_is_sticky, "sticky";
    refusal_differs: RefusalDiffers by a_refusal_is_sticky, "sticky";

    cancel_without_try_fails: CancelWithoutTryFails by a_cancel_without_its_try_is_done, "never came";
    cancel_without_try_gives_back: CancelWithoutTryGivesBack by a_cancel_without_its_try_is_done, "never came";
    cancel_leaves_no_mark: CancelLeavesNoMark by a_late_try_is_an_error, "after its branch's cancel";
    peers_14_a_late_try_that_is_answered_as_success_is_caught:
        LateTryIsDone by a_late_try_is_an_error, "after its branch's cancel";
    late_try_takes: LateTryTakes by a_late_try_is_an_error, "after its branch's cancel";
    confirm_takes_the_cancelled: ConfirmTakesTheCancelled by a_confirm_after_cancel_is_refused, "after a cancel";
    confirm_of_the_cancelled_is_done: ConfirmOfTheCancelledIsDone by a_confirm_after_cancel_is_refused, "after a cancel";
    cancel_gives_back_the_confirmed: CancelGivesBackTheConfirmed by a_cancel_after_confirm_is_refused, "after a confirm";
    cancel_of_the_confirmed_is_done: CancelOfTheConfirmedIsDone by a_cancel_after_confirm_is_refused, "after a confirm";
    confirm_without_try_is_done: ConfirmWithoutTryIsDone by a_confirm_without_its_try_is_refused, "without its try";
    confirm_without_try_leaves_no_mark:
        ConfirmWithoutTryLeavesNoMark by a_confirm_without_its_try_is_refused, "after its branch's confirm was refused";
    confirm_of_the_refused_is_done:
        ConfirmOfTheRefusedIsDone by every_order_of_phases_keeps_the_promises, "a confirm of a refused try";
    cancel_after_the_lost_confirm_gives_back:
        CancelAfterTheLostConfirmGivesBack by every_order_of_phases_keeps_the_promises, "after a refused confirm";
    cancel_of_the_refused_fails: CancelOfTheRefusedFails by a_refused_try_is_cancelled_all_the_same, "all the same";
    cancel_of_the_refused_gives_back:
        CancelOfTheRefusedGivesBack by a_refused_try_is_cancelled_all_the_same, "all the same";
    repeat_reopens_the_confirmed:
        RepeatReopensTheConfirmed by every_order_of_phases_keeps_the_promises, "a repeat of a confirm";

    row_is_committed_first: RowIsCommittedFirst by a_dropped_try_is_whole_or_absent, "whole effect or none";
    effect_is_committed_first: EffectIsCommittedFirst by a_dropped_try_is_whole_or_absent, "whole effect or none";
    dropped_effect_is_not_cancelled: EffectIsCommittedFirst by a_dropped_try_is_cancelled, "dropped is cancelled";
    dropped_try_is_half_until_repeated:
        DroppedTryIsHalfUntilRepeated by a_dropped_try_is_whole_or_absent, "whole effect or none";
    dropped_try_is_half_when_cancelled:
        DroppedTryIsHalfWhenCancelled by a_dropped_try_is_cancelled, "dropped is cancelled";
    dropped_refusal_is_half_until_cancelled:
        DroppedRefusalIsHalfUntilCancelled by a_dropped_refusal_leaves_nothing, "leaves nothing";
    dropped_try_holds_up_its_cancel: DroppedTryHoldsUpItsCancel by a_dropped_try_is_cancelled, "dropped is cancelled";
    dropped_try_locks_the_data: DroppedTryLocksTheData by a_dropped_try_is_whole_or_absent, "leaves the service usable";
    refusal_takes_first: RefusalTakesFirst by a_dropped_refusal_leaves_nothing, "leaves nothing";
    confirm_is_two_writes: ConfirmIsTwoWrites by a_dropped_confirm_is_whole_or_absent, "whole effect or none";
    cancel_is_two_writes: CancelIsTwoWrites by a_dropped_cancel_is_whole_or_absent, "whole effect or none";

    try_looks_then_writes: TryLooksThenWrites by two_tries_at_once_have_one_effect, "the same output";
    try_overlooks_its_cancel: TryLooksThenWrites by a_try_and_its_cancel_at_once_leave_nothing, "leave nothing";
    confirm_looks_then_writes: ConfirmLooksThenWrites by two_confirms_at_once_have_one_effect, "one has the effect";
    cancel_looks_then_writes: CancelLooksThenWrites by two_cancels_at_once_have_one_effect, "one has the effect";
    second_try_is_refused: SecondTryIsRefused by two_tries_at_once_have_one_effect, "none is refused";
    second_try_has_its_own_output: SecondTryHasItsOwnOutput by two_tries_at_once_have_one_effect, "the same output";
    cancel_of_a_try_under_way_is_refused:
        CancelOfATryUnderWayIsRefused by a_try_and_its_cancel_at_once_leave_nothing, "leave nothing";

    row_is_of_the_transaction: RowIsOfTheTransaction by branches_of_a_transaction_are_apart, "of one transaction";
    row_is_of_the_number: RowIsOfTheNumber by transactions_are_apart, "the same number";
    row_forgets_the_run: RowForgetsTheRun by runs_of_a_key_are_apart, "two runs";
    cancel_gives_back_all_of_a_transaction:
        CancelGivesBackAllOfATransaction by branches_of_a_transaction_are_apart, "of one transaction";
    cancel_marks_all_of_a_transaction:
        CancelMarksAllOfATransaction by branches_of_a_transaction_are_apart, "of one transaction";
    try_looks_at_all_of_a_transaction:
        TryLooksAtAllOfATransaction by branches_of_a_transaction_are_apart, "of one transaction";
    confirm_looks_at_all_of_a_transaction:
        ConfirmLooksAtAllOfATransaction by branches_of_a_transaction_are_apart, "of one transaction";
    confirm_takes_all_of_a_transaction:
        ConfirmTakesAllOfATransaction by branches_of_a_transaction_are_apart, "of one transaction";
}
