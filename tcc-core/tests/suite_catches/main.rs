//! The suite is itself held to something: stores with one defect each, which it must catch by the right case.

mod defect;
mod flawed;
mod wasteful;

use defect::Defect;
use flawed::Flawed;
use tcc_core::testing::{Broken, Case, Hook, Hooks, Suite, store_cases};
use wasteful::{Waste, Wasteful};

/// Runs one case on a store with this defect, on a clock of its own.
fn run(case: &Case, defect: Defect) -> Result<(), Broken> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let hooks = Hooks::none().damage().clock_ahead().clock_back();
        case.run(&Suite::with(Flawed::with(defect), hooks).await).await
    })
}

/// All that can be run on a plain store. Without an index it can't be cheap: `wasteful` is for that.
fn cases() -> impl Iterator<Item = Case> {
    store_cases().into_iter().filter(|case| case.needs() != Some(Hook::Metered))
}

/// Every case that catches this defect.
fn catchers(defect: Defect) -> Vec<&'static str> {
    cases().filter(|case| run(case, defect).is_err()).map(|case| case.name()).collect()
}

#[test]
fn a_store_without_a_defect_passes() {
    for case in cases() {
        if let Err(broken) = run(&case, Defect::None) {
            panic!("{}: {broken}", case.name());
        }
    }
}

#[test]
fn a_failure_says_what_broke_and_how_to_mend_it() {
    for case in cases() {
        let Err(broken) = run(&case, Defect::PositionNotCompared) else { continue };
        let said = broken.to_string();
        for part in [broken.promise, &broken.found, broken.mend] {
            assert!(part.len() > 10 && said.contains(part), "{}: {said}", case.name());
        }
    }
}

/// The first case that fails may be one that is about something else.
#[test]
fn what_goes_wrong_elsewhere_does_not_mislead() {
    for (defect, by, mend) in [
        (Defect::NextDueIsTheLease, "groups_are_apart", "look at the first log of the due index"),
        (Defect::ListRepeatsItsLastItem, "a_page_of_none_is_a_page_of_one", "list only what is greater"),
        // What these cases are about is said by them as before.
        (Defect::GroupsShareTheirLogs, "groups_are_apart", "make the group a part of every key"),
        (Defect::ListOfNoneIsEmpty, "a_page_of_none_is_a_page_of_one", "take a Query::limit of 0 as 1"),
        (Defect::TimesAreAddedUnchecked, "the_longest_times_are_taken", "saturating_add"),
    ] {
        let case = cases().find(|case| case.name() == by).unwrap();
        let broken = run(&case, defect).unwrap_err();
        assert!(broken.mend.contains(mend), "{defect:?} in {by}: {broken}");
    }
}

macro_rules! caught {
    ($($test:ident: $defect:ident by $case:ident;)+) => {
        $(
            #[test]
            fn $test() {
                let named = cases().find(|case| case.name() == stringify!($case)).expect("it is a case");
                if run(&named, Defect::$defect).is_ok() {
                    let by = catchers(Defect::$defect);
                    panic!("{:?} is not caught by {}, only by {by:?}", Defect::$defect, stringify!($case));
                }
            }
        )+

        /// Every case is shown to catch something: one that cannot fail proves nothing.
        #[test]
        fn every_case_catches_a_defect() {
            let named = [$(stringify!($case)),+];
            let idle: Vec<_> = cases().map(|case| case.name()).filter(|name| !named.contains(name)).collect();
            assert!(idle.is_empty(), "no defect is caught by {idle:?}");
        }
    };
}

caught! {
    position_not_compared: PositionNotCompared by append_compares_the_op;
    only_the_number_compared: OnlyTheNumberCompared by append_compares_the_op;
    only_the_op_compared: OnlyTheOpCompared by append_compares_the_number;
    only_the_op_compared_beyond_the_end: OnlyTheOpCompared by append_beyond_the_end_conflicts;
    start_takes_an_existing_log: StartTakesAnExistingLog by start_conflicts_with_a_log;
    replay_conflicts: ReplayConflicts by replay_is_ok_and_changes_nothing;
    replay_of_a_begin_conflicts: ReplayConflicts by replay_of_the_first_entry_is_ok;
    replay_appends_again: ReplayAppendsAgain by replay_is_ok_and_changes_nothing;
    replay_moves_the_due_time: ReplayMovesTheDueTime by replay_is_ok_and_changes_nothing;
    replay_of_a_progressed_log_is_ok: ReplayOfAProgressedLogIsOk by replay_behind_another_entry_conflicts;
    replay_at_any_number_is_ok: ReplayAtAnyNumberIsOk by replay_at_another_number_conflicts;
    not_found_begins_a_log: NotFoundBeginsALog by append_without_a_log_is_not_found;
    not_found_is_called_conflict: NotFoundIsCalledConflict by append_without_a_log_is_not_found;
    conflict_moves_the_due_time: ConflictMovesTheDueTime by refused_append_changes_nothing;
    batch_stops_at_the_first_error: BatchStopsAtTheFirstError by batch_gives_each_write_its_own_answer;
    batch_gives_one_answer_for_all: BatchGivesOneAnswerForAll by batch_gives_each_write_its_own_answer;
    batch_is_all_or_nothing: BatchIsAllOrNothing by batch_gives_each_write_its_own_answer;
    batch_is_applied_backwards: BatchIsAppliedBackwards by batch_is_applied_in_order;
    batch_prefers_the_last: BatchIsAppliedBackwards by batch_gives_a_position_to_the_first;
    batch_is_cut_off: BatchIsCutOff by batch_of_none_and_of_many;
    claim_is_not_exclusive: ClaimIsNotExclusive by a_lease_excludes_every_other_claim;
    claim_reads_then_writes: ClaimReadsThenWrites by many_claimers_share_nothing;
    claim_ignores_the_lease: ClaimIgnoresTheLease by a_lease_excludes_every_other_claim;
    claim_hands_out_twice: ClaimIgnoresTheLease by many_logs_are_claimed_in_pages;
    lease_is_too_short: LeaseIsTooShort by an_expired_lease_is_handed_out_again;
    lease_never_ends: LeaseNeverEnds by an_expired_lease_is_handed_out_again;
    claim_forgets_to_append: ClaimForgetsToAppend by claim_appends_its_entry;
    claim_appends_in_its_answer_only: ClaimAppendsInItsAnswerOnly by claim_moves_the_position;
    claim_takes_what_is_not_due: ClaimTakesWhatIsNotDue by claim_takes_nothing_before_it_is_due;
    claim_is_out_of_order: ClaimIsOutOfOrder by claim_takes_the_most_overdue_first;
    claim_exceeds_its_limit: ClaimExceedsItsLimit by claim_keeps_to_its_limit;
    claim_leases_beyond_its_limit: ClaimLeasesBeyondItsLimit by claim_keeps_to_its_limit;
    claim_scans_past_the_leased: ClaimScansPastTheLeased by leased_logs_hold_up_nothing_due;
    next_due_is_forgotten: NextDueIsForgotten by next_due_is_told;
    next_due_is_the_lease: NextDueIsTheLease by next_due_is_told;
    unfinished_expires: UnfinishedExpires by unfinished_outlives_every_retention;
    retention_is_too_short: RetentionIsTooShort by finished_is_kept_for_its_retention;
    finished_never_goes: FinishedNeverGoes by finished_goes_after_its_retention;
    keep_drops_the_retention: KeepDropsTheRetention by finished_goes_after_its_retention;
    for_ever_ends: ForeverEnds by kept_for_ever_stays_and_is_listed;
    for_ever_is_not_listed: ForeverIsNotListed by kept_for_ever_stays_and_is_listed;
    for_ever_is_final: ForeverIsFinal by kept_for_ever_can_be_worked_on_again;
    sweep_takes_what_has_time_left: SweepTakesWhatHasTimeLeft by sweep_spares_what_must_stay;
    sweep_exceeds_its_limit: SweepExceedsItsLimit by sweep_spares_what_must_stay;
    keep_makes_due_at_once: KeepMakesDueAtOnce by keep_keeps_the_due_time;
    keep_of_a_new_log_is_never: KeepOfANewLogIsNever by keep_in_a_first_append_is_at_once;
    in_never_brings_forward: InNeverBringsForward by in_moves_the_due_time;
    renewal_is_ignored: RenewalIsIgnored by a_renewed_lease_lasts_longer;
    never_stays_due: NeverStaysDue by never_is_not_due;
    times_are_added_unchecked: TimesAreAddedUnchecked by the_longest_times_are_taken;
    times_wrap_around: TimesWrapAround by the_longest_times_are_taken;
    no_time_is_an_error: NoTimeIsAnError by near_and_far_times_are_taken;
    replace_extends: ReplaceExtends by replace_leaves_one_entry;
    replace_counts_anew: ReplaceCountsAnew by replace_goes_on_counting;
    replace_is_not_compared: ReplaceIsNotCompared by refused_replace_changes_nothing;
    replay_of_a_replace_conflicts: ReplayOfAReplaceConflicts by replay_of_a_replace_is_ok;
    list_skips_one_at_page_ends: ListSkipsOneAtPageEnds by list_is_whole_and_in_due_order;
    list_is_in_order_of_ids: ListIsInOrderOfIds by list_is_whole_and_in_due_order;
    list_repeats_its_last_item: ListRepeatsItsLastItem by list_is_whole_and_in_due_order;
    list_loses_ties: ListLosesTies by list_is_whole_and_in_due_order;
    list_goes_by_offset: ListGoesByOffset by list_survives_changes_between_pages;
    list_looks_up_its_last_item: ListLooksUpItsLastItem by list_survives_changes_between_pages;
    list_exceeds_its_limit: ListExceedsItsLimit by list_pages_keep_to_their_limit;
    list_ends_after_a_page: ListEndsAfterAPage by list_pages_keep_to_their_limit;
    list_takes_any_cursor: ListTakesAnyCursor by rubbish_is_no_cursor;
    listed_ages_are_lost: ListedAgesAreLost by listed_logs_are_whole_and_aged;
    text_is_trimmed: TextIsTrimmed by any_text_is_kept_exactly;
    text_is_normalised: TextIsNormalised by any_text_is_kept_exactly;
    text_loses_controls: TextLosesControls by any_text_is_kept_exactly;
    text_is_cut: TextIsCut by lines_of_64_kib_are_kept;
    groups_share_their_logs: GroupsShareTheirLogs by groups_are_apart;
    logs_are_kept_in_the_handle: LogsAreKeptInTheHandle by reopen_keeps_all;
    due_times_are_kept_in_the_handle: DueTimesAreKeptInTheHandle by reopen_keeps_all;
    stats_forget_the_leased: StatsForgetTheLeased by stats_count;
    stats_call_the_waiting_overdue: StatsCallTheWaitingOverdue by stats_count;
    nothing_to_read_is_an_error: NothingToReadIsAnError by read_of_no_log_is_none;
    check_finds_fault_without_a_word: CheckFindsFaultWithoutAWord by check_says_how_to_mend;
    due_soon_waits_for_ever: DueSoonWaitsForEver by due_soon_comes_back;
    append_reads_then_writes: AppendReadsThenWrites by one_append_wins_each_position;
    append_races_a_claim: AppendReadsThenWrites by claim_and_append_exclude_each_other;
    append_is_two_writes: AppendIsTwoWrites by a_dropped_append_is_whole_or_absent;
    batch_forgets_when_dropped: BatchForgetsWhenDropped by a_dropped_batch_is_whole_or_absent_in_each;
    claim_is_two_writes: ClaimIsTwoWrites by a_dropped_claim_leases_or_leaves;
    entries_are_not_counted: EntriesAreNotCounted by append_moves_the_position;
    first_entry_is_lost: FirstEntryIsLost by first_append_begins_a_log;
    entries_are_sorted: EntriesAreSorted by sixty_four_entries_keep_their_order;
    replay_is_known_to_its_handle_alone: ReplayIsKnownToItsHandleAlone by replay_by_another_handle_is_ok;
    claim_of_none_takes_one: ClaimOfNoneTakesOne by a_claim_of_none_tells_when_the_next_is_due;
    claim_is_repeated_by_its_entry: ClaimIsRepeatedByItsEntry by the_same_claim_again_gets_nothing_twice;
    list_of_none_is_empty: ListOfNoneIsEmpty by a_page_of_none_is_a_page_of_one;
    list_loses_what_is_too_long: ListLosesWhatIsTooLong by long_logs_are_listed_and_claimed_whole;
    unreadable_is_passed_over: UnreadableIsPassedOver by a_claim_reports_what_it_can_not_read;
    unreadable_fails_the_claim: UnreadableFailsTheClaim by a_claim_reports_what_it_can_not_read;
    unreadable_fails_every_claim: UnreadableFailsTheClaim by what_can_not_be_read_holds_up_no_other;
    unreadable_stays_due: UnreadableStaysDue by what_can_not_be_read_holds_up_no_other;
    unreadable_is_due_during_its_lease: UnreadableStaysDue by what_can_not_be_read_is_due_again_after_the_lease;
    unreadable_never_comes_again: UnreadableNeverComesAgain by what_can_not_be_read_is_due_again_after_the_lease;
    unreadable_is_thrown_away: UnreadableIsThrownAway by what_can_not_be_read_keeps_its_entries;
    unreadable_gets_the_claim: UnreadableGetsTheClaim by what_can_not_be_read_keeps_its_entries;
    unreadable_is_not_listed: UnreadableIsNotListed by a_list_reports_what_it_can_not_read;
    unreadable_ends_the_list: UnreadableEndsTheList by a_list_reports_what_it_can_not_read;
    unreadable_is_not_found: UnreadableIsNotFound by a_read_says_what_it_can_not_read;
    unfinished_goes_when_long_overdue: UnfinishedGoesWhenLongOverdue by a_clock_set_ahead_loses_nothing_unfinished;
    unfinished_goes_when_from_the_future: UnfinishedGoesWhenFromTheFuture by a_clock_set_back_loses_nothing_unfinished;
    retention_is_half_an_hour_at_most: RetentionIsHalfAnHourAtMost by a_clock_set_ahead_cuts_retention_by_the_jump_alone;
    finished_goes_when_from_the_future: FinishedGoesWhenFromTheFuture by a_clock_set_back_keeps_what_is_finished;
    long_overdue_is_claimed_without_an_entry: LongOverdueIsClaimedWithoutAnEntry by a_lease_that_a_jump_ended_gives_no_position_twice;
    entries_are_ordered_by_time: EntriesAreOrderedByTime by a_clock_set_back_gives_no_position_twice;
    times_are_taken_from_a_clock_behind: TimesAreTakenFromAnotherClock by after_a_jump_ahead_all_is_due_in_time;
    times_are_taken_from_a_clock_ahead: TimesAreTakenFromAnotherClock by after_a_jump_back_all_is_due_in_time;
    overdue_is_counted_twice: OverdueIsCountedTwice by a_jump_ahead_leaves_ages_sane;
    ages_are_unsigned: AgesAreUnsigned by a_jump_back_leaves_ages_sane;
}

/// What the case of costs says of a store that wastes its work here.
fn costs(waste: Waste) -> Result<(), Broken> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let case = store_cases().into_iter().find(|case| case.needs() == Some(Hook::Metered)).unwrap();
    runtime.block_on(async {
        case.run(&Suite::with(Wasteful::with(waste), Hooks::none().metered()).await).await
    })
}

#[test]
fn a_store_that_looks_at_all_it_has_is_caught() {
    costs(Waste::None).unwrap();
    for waste in [Waste::Claim, Waste::Stats, Waste::List] {
        let broken = costs(waste).expect_err("it goes through all");
        assert!(broken.found.contains("with 50000"), "{waste:?}: {broken}");
    }
}

#[test]
#[should_panic(expected = "needs the hook Damage")]
fn a_case_without_its_hook_does_not_pass() {
    let case = store_cases().into_iter().find(|case| case.needs() == Some(Hook::Damage)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _ = runtime.block_on(async { case.run(&Suite::of(Flawed::with(Defect::None)).await).await });
}
