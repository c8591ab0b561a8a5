//! The cases of the conformance suite, a file per part of the contract.

pub(super) mod append;
pub(super) mod batch;
pub(super) mod claim;
pub(super) mod clock;
pub(super) mod cost;
pub(super) mod damage;
pub(super) mod due;
pub(super) mod list;
pub(super) mod race;
pub(super) mod read;
pub(super) mod replace;
pub(super) mod retain;

/// Every case that needs no hook, by its name: the one list of which the tests and the table are made.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_cases {
    ([$($callback:tt)+] $args:tt) => {
        $($callback)+! { $args
            append:
                first_append_begins_a_log
                append_moves_the_position
                append_compares_the_op
                append_compares_the_number
                append_beyond_the_end_conflicts
                start_conflicts_with_a_log
                append_without_a_log_is_not_found
                refused_append_changes_nothing
                replay_is_ok_and_changes_nothing
                replay_of_the_first_entry_is_ok
                replay_behind_another_entry_conflicts
                replay_at_another_number_conflicts
                replay_by_another_handle_is_ok
                sixty_four_entries_keep_their_order;
            batch:
                batch_gives_each_write_its_own_answer
                batch_is_applied_in_order
                batch_gives_a_position_to_the_first
                batch_of_none_and_of_many;
            read:
                read_of_no_log_is_none
                any_text_is_kept_exactly
                lines_of_64_kib_are_kept
                long_logs_are_listed_and_claimed_whole
                reopen_keeps_all
                groups_are_apart;
            due:
                keep_in_a_first_append_is_at_once
                keep_keeps_the_due_time
                in_moves_the_due_time
                never_is_not_due
                near_and_far_times_are_taken
                the_longest_times_are_taken;
            claim:
                claim_takes_nothing_before_it_is_due
                claim_takes_the_most_overdue_first
                claim_keeps_to_its_limit
                a_claim_of_none_tells_when_the_next_is_due
                claim_appends_its_entry
                claim_moves_the_position
                a_lease_excludes_every_other_claim
                the_same_claim_again_gets_nothing_twice
                many_claimers_share_nothing
                an_expired_lease_is_handed_out_again
                a_renewed_lease_lasts_longer
                leased_logs_hold_up_nothing_due
                next_due_is_told
                many_logs_are_claimed_in_pages;
            retain:
                unfinished_outlives_every_retention
                finished_is_kept_for_its_retention
                finished_goes_after_its_retention
                kept_for_ever_stays_and_is_listed
                kept_for_ever_can_be_worked_on_again
                sweep_spares_what_must_stay;
            replace:
                replace_leaves_one_entry
                replace_goes_on_counting
                replay_of_a_replace_is_ok
                refused_replace_changes_nothing;
            list:
                list_is_whole_and_in_due_order
                list_pages_keep_to_their_limit
                a_page_of_none_is_a_page_of_one
                list_survives_changes_between_pages
                listed_logs_are_whole_and_aged
                rubbish_is_no_cursor
                stats_count
                check_says_how_to_mend
                due_soon_comes_back;
            race:
                one_append_wins_each_position
                claim_and_append_exclude_each_other
                a_dropped_append_is_whole_or_absent
                a_dropped_batch_is_whole_or_absent_in_each
                a_dropped_claim_leases_or_leaves;
        }
    };
}

/// Those that need [`Damage`](crate::testing::Damage).
#[doc(hidden)]
#[macro_export]
macro_rules! __damage_cases {
    ([$($callback:tt)+] $args:tt) => {
        $($callback)+! { $args
            damage:
                a_claim_reports_what_it_can_not_read
                what_can_not_be_read_is_due_again_after_the_lease
                what_can_not_be_read_keeps_its_entries
                what_can_not_be_read_holds_up_no_other
                a_list_reports_what_it_can_not_read
                a_read_says_what_it_can_not_read;
        }
    };
}

/// Those that need [`ClockAhead`](crate::testing::ClockAhead).
#[doc(hidden)]
#[macro_export]
macro_rules! __clock_ahead_cases {
    ([$($callback:tt)+] $args:tt) => {
        $($callback)+! { $args
            clock:
                a_clock_set_ahead_loses_nothing_unfinished
                a_clock_set_ahead_cuts_retention_by_the_jump_alone
                a_lease_that_a_jump_ended_gives_no_position_twice
                after_a_jump_ahead_all_is_due_in_time
                a_jump_ahead_leaves_ages_sane;
        }
    };
}

/// Those that need [`ClockBack`](crate::testing::ClockBack).
#[doc(hidden)]
#[macro_export]
macro_rules! __clock_back_cases {
    ([$($callback:tt)+] $args:tt) => {
        $($callback)+! { $args
            clock:
                a_clock_set_back_loses_nothing_unfinished
                a_clock_set_back_keeps_what_is_finished
                a_clock_set_back_gives_no_position_twice
                after_a_jump_back_all_is_due_in_time
                a_jump_back_leaves_ages_sane;
        }
    };
}

/// Those that need [`Metered`](crate::testing::Metered).
#[doc(hidden)]
#[macro_export]
macro_rules! __metered_cases {
    ([$($callback:tt)+] $args:tt) => {
        $($callback)+! { $args
            cost:
                very_many_unfinished_cost_no_more_than_a_thousand;
        }
    };
}
