//! Calls that exceed their time limit, and are dropped where they stand.

use crate::protocol::Phase::{self, Cancel, Confirm, Try};
use crate::testing::participant_suite::ParticipantSuite;
use crate::testing::participant_suite::stage::{Ask, Stage, polls};
use crate::testing::participant_suite::table::{Data, Row};
use crate::testing::promise::{Broken, Promise};

const WHOLE: Promise = Promise::new(
    "a call that is dropped has its whole effect or none, and a repeat of it ends the same as if it had come once",
    "write the branch's row and all of the effect in one database transaction, and commit it once, last of all",
);
const REFUSAL: Promise = Promise::new(
    "a try that is refused, and dropped before it could say so, leaves nothing",
    "change nothing outside of the database transaction, and commit it only with the effect, or without one",
);
const CANCELLED: Promise = Promise::new(
    "a try that was dropped is cancelled: whatever it had done is given back, and it never has an effect again",
    "write the branch's row and all of the effect in one database transaction; let a dropped future leave no lock behind",
);

/// Dropped at every place, then asked again.
pub(crate) async fn a_dropped_try_is_whole_or_absent(s: &ParticipantSuite) -> Result<(), Broken> {
    if !s.traits.tries {
        return Ok(());
    }
    dropped_and_repeated(s, &[], Try, Some(Data::Held)).await
}

/// Dropped at every place, then cancelled: what a coordinator does.
pub(crate) async fn a_dropped_try_is_cancelled(s: &ParticipantSuite) -> Result<(), Broken> {
    if !s.traits.cancels {
        return Ok(());
    }
    for polls in polls() {
        let mut stage = Stage::open(s).await?;
        let mut branch = stage.only(Ask::Request(0))?;
        stage.under(&CANCELLED);
        branch.forgetful = true;
        let answer = stage.dropped(&mut branch, Try, polls).await?;
        // Whatever it has come to, cancel is done and leaves nothing: as if there were nothing to cancel.
        stage.settle(&mut branch, Cancel).await?;
        stage.steps(&mut branch, &[Try, Cancel, Try]).await?;
        if answer.is_some() {
            break;
        }
    }
    Ok(())
}

/// Dropped at every place, then asked again, then cancelled.
pub(crate) async fn a_dropped_refusal_leaves_nothing(s: &ParticipantSuite) -> Result<(), Broken> {
    for polls in polls() {
        let mut stage = Stage::open(s).await?;
        if !stage.refuses() {
            return Ok(());
        }
        let mut branch = stage.only(Ask::Refused)?;
        stage.under(&REFUSAL);
        let before = stage.now.clone();
        let answer = stage.dropped(&mut branch, Try, polls).await?;
        stage.holds(&REFUSAL, stage.same(&before, &stage.now), || "the last call has an effect".into())?;
        branch.row = Row::Refused;
        stage.settle(&mut branch, Try).await?;
        stage.settle(&mut branch, Cancel).await?;
        if answer.is_some() {
            break;
        }
    }
    Ok(())
}

/// Dropped at every place, then asked again, as often as it takes.
pub(crate) async fn a_dropped_confirm_is_whole_or_absent(s: &ParticipantSuite) -> Result<(), Broken> {
    match (s.traits.tries, s.traits.confirms) {
        (false, _) => dropped_and_repeated(s, &[], Confirm, Some(Data::Taken)).await,
        (true, true) => dropped_and_repeated(s, &[Try], Confirm, Some(Data::Taken)).await,
        (true, false) => Ok(()),
    }
}

/// Dropped at every place, then asked again, as often as it takes: with and without something to undo.
pub(crate) async fn a_dropped_cancel_is_whole_or_absent(s: &ParticipantSuite) -> Result<(), Broken> {
    if !s.traits.cancels {
        return Ok(());
    }
    dropped_and_repeated(s, &[], Cancel, None).await?;
    dropped_and_repeated(s, &[Try], Cancel, Some(Data::Given)).await
}

/// `whole` is what her data look like after its effect; `None`, if it has none but a mark.
async fn dropped_and_repeated(
    s: &ParticipantSuite,
    before: &[Phase],
    phase: Phase,
    whole: Option<Data>,
) -> Result<(), Broken> {
    for polls in polls() {
        let mut stage = Stage::open(s).await?;
        let mut branch = stage.only(Ask::Request(0))?;
        stage.steps(&mut branch, before).await?;
        stage.under(&WHOLE);
        let absent = stage.now.clone();
        let answer = stage.dropped(&mut branch, phase, polls).await?;
        let is_whole = match whole {
            Some(data) => stage.same(s.learned(data).await?, &stage.now),
            None => stage.is_undone(),
        };
        stage.holds(&WHOLE, is_whole || stage.same(&absent, &stage.now), || {
            "her data are neither as before the last call nor as after it".into()
        })?;
        stage.settle(&mut branch, phase).await?;
        stage.step(&mut branch, phase).await?;
        if phase == Cancel {
            stage.step(&mut branch, Try).await?;
        }
        if answer.is_some() {
            break;
        }
    }
    Ok(())
}
