//! The cases of the conformance suite for actions, a file for each kind.

pub(super) mod apart;
pub(super) mod dropped;
pub(super) mod order;
pub(super) mod plain;
pub(super) mod repeat;
pub(super) mod together;

/// Every case by its name: the one list of which the tests and the table are made.
#[doc(hidden)]
#[macro_export]
macro_rules! __participant_cases {
    ([$($callback:tt)+] $args:tt) => {
        $($callback)+! { $args
            plain:
                every_start_is_alike
                every_phase_is_answered
                a_cancel_gives_back_what_the_try_took
                a_cancel_needs_no_output
                a_refused_try_changes_nothing
                payloads_survive_the_log;
            repeat:
                a_repeated_try_answers_the_first_output
                a_repeated_try_is_seen_before_any_check
                a_repeated_confirm_has_one_effect
                a_repeated_cancel_has_one_effect
                a_refusal_is_sticky;
            order:
                a_cancel_without_its_try_is_done
                a_late_try_is_an_error
                a_confirm_after_cancel_is_refused
                a_cancel_after_confirm_is_refused
                a_confirm_without_its_try_is_refused
                a_refused_try_is_cancelled_all_the_same
                every_order_of_phases_keeps_the_promises;
            dropped:
                a_dropped_try_is_whole_or_absent
                a_dropped_try_is_cancelled
                a_dropped_refusal_leaves_nothing
                a_dropped_confirm_is_whole_or_absent
                a_dropped_cancel_is_whole_or_absent;
            together:
                two_tries_at_once_have_one_effect
                two_confirms_at_once_have_one_effect
                two_cancels_at_once_have_one_effect
                a_try_and_its_cancel_at_once_leave_nothing;
            apart:
                branches_of_a_transaction_are_apart
                transactions_are_apart
                runs_of_a_key_are_apart;
        }
    };
}
