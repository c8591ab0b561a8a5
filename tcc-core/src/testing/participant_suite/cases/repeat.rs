//! The same call again, and again after the world has changed.

use crate::protocol::Phase::{Cancel, Confirm, Try};
use crate::testing::participant_suite::ParticipantSuite;
use crate::testing::participant_suite::stage::{Ask, Stage};
use crate::testing::participant_suite::subject::Answer;
use crate::testing::participant_suite::table::{CANCEL, CONFIRM, STICKY, Wanted};
use crate::testing::promise::{Broken, Promise};

/// At once, and after its confirm.
pub(crate) async fn a_repeated_try_answers_the_first_output(s: &ParticipantSuite) -> Result<(), Broken> {
    if !s.traits.tries {
        return Ok(());
    }
    for phases in [&[Try, Try, Try][..], &[Try, Confirm, Try]] {
        let mut stage = Stage::open(s).await?;
        let mut branch = stage.only(Ask::Request(0))?;
        stage.steps(&mut branch, phases).await?;
    }
    Ok(())
}

/// PEERS 13: whoever checks the balance first refuses what was done already.
pub(crate) async fn a_repeated_try_is_seen_before_any_check(s: &ParticipantSuite) -> Result<(), Broken> {
    const SEEN_FIRST: Promise = Promise::new(
        "a repeat of a try that was done answers the first output, even if the same could not be had any more",
        "look for the branch's row before anything else: before the balance, the stock, the state of the order",
    );
    let mut stage = Stage::open(s).await?;
    if !stage.refuses() || !s.traits.runs_out {
        return Ok(());
    }
    let mut branch = stage.only(Ask::Request(0))?;
    stage.step(&mut branch, Try).await?;
    stage.run_out().await?;
    let before = stage.now.clone();
    let again = stage.say(&mut branch, Try).await?;
    stage.holds(&SEEN_FIRST, branch.is(Wanted::FirstOutput, &again), || {
        "the last answer is not the first output".into()
    })?;
    stage.holds(&SEEN_FIRST, stage.same(&before, &stage.now), || "the last call has an effect".into())?;
    let confirmed = stage.say(&mut branch, Confirm).await?;
    stage.done(&CONFIRM, &confirmed)
}

/// Paid once.
pub(crate) async fn a_repeated_confirm_has_one_effect(s: &ParticipantSuite) -> Result<(), Broken> {
    let mut stage = Stage::open(s).await?;
    let mut branch = stage.only(Ask::Request(0))?;
    if s.traits.tries {
        stage.step(&mut branch, Try).await?;
    }
    stage.steps(&mut branch, &[Confirm, Confirm, Confirm]).await
}

/// Given back once.
pub(crate) async fn a_repeated_cancel_has_one_effect(s: &ParticipantSuite) -> Result<(), Broken> {
    if !s.traits.cancels {
        return Ok(());
    }
    for phases in [&[Try, Cancel, Cancel, Cancel][..], &[Cancel, Cancel, Cancel]] {
        let mut stage = Stage::open(s).await?;
        let mut branch = stage.only(Ask::Request(0))?;
        stage.steps(&mut branch, phases).await?;
    }
    Ok(())
}

/// Even if meanwhile it could be had: whoever was told *no* relies on it.
pub(crate) async fn a_refusal_is_sticky(s: &ParticipantSuite) -> Result<(), Broken> {
    let mut stage = Stage::open(s).await?;
    if !stage.refuses() {
        return Ok(());
    }
    let mut branch = stage.only(Ask::Refused)?;
    stage.steps(&mut branch, &[Try, Try, Try]).await?;
    if !s.traits.runs_out || !s.traits.cancels {
        return Ok(());
    }
    let mut stage = Stage::open(s).await?;
    let (had, mut refused) = stage.run_out().await?;
    for mut other in had {
        let cancelled = stage.say(&mut other, Cancel).await?;
        stage.done(&CANCEL, &cancelled)?;
    }
    stage.steps(&mut refused, &[Try, Try]).await?;
    let before = stage.now.clone();
    let cancelled = stage.say(&mut refused, Cancel).await?;
    let nothing = matches!(cancelled, Answer::Done(_)) && stage.same(&before, &stage.now);
    stage.holds(&STICKY, nothing, || "its cancel is not done, or has an effect".into())
}
