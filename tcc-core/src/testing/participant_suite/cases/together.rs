//! Calls of one branch that are under way at the same time: a repeat does not wait for what it repeats.

use crate::protocol::Phase::{self, Cancel, Confirm, Try};
use crate::testing::participant_suite::ParticipantSuite;
use crate::testing::participant_suite::stage::{Ask, Stage, equal, polls};
use crate::testing::participant_suite::subject::Answer;
use crate::testing::promise::{Broken, Promise};

const ONE_EFFECT: Promise = Promise::new(
    "of two calls of the same phase at once one has the effect, and none is refused",
    "insert the branch's row first, where a unique key lets one of the two pass; a look whether it is there, before, \
     finds nothing in both",
);
const ONE_OUTPUT: Promise = Promise::new(
    "two tries of a branch at once answer the same output",
    "answer with the output that the branch's row keeps, in whichever of the two it was made",
);
const NOTHING_LEFT: Promise = Promise::new(
    "a try and its cancel at once leave nothing, whichever comes first",
    "insert the branch's row first, in both: then one waits for the other, and finds what it has done",
);

/// A repeat overtakes.
pub(crate) async fn two_tries_at_once_have_one_effect(s: &ParticipantSuite) -> Result<(), Broken> {
    if !s.traits.tries {
        return Ok(());
    }
    twice_at_once(s, &[], Try).await
}

/// Two coordinators, of which one has lost its lease.
pub(crate) async fn two_confirms_at_once_have_one_effect(s: &ParticipantSuite) -> Result<(), Broken> {
    match (s.traits.tries, s.traits.confirms) {
        (false, _) => twice_at_once(s, &[], Confirm).await,
        (true, true) => twice_at_once(s, &[Try], Confirm).await,
        (true, false) => Ok(()),
    }
}

/// The same.
pub(crate) async fn two_cancels_at_once_have_one_effect(s: &ParticipantSuite) -> Result<(), Broken> {
    if !s.traits.cancels {
        return Ok(());
    }
    twice_at_once(s, &[Try], Cancel).await?;
    twice_at_once(s, &[], Cancel).await
}

/// The try's time is over, and it goes on.
pub(crate) async fn a_try_and_its_cancel_at_once_leave_nothing(s: &ParticipantSuite) -> Result<(), Broken> {
    if !s.traits.cancels {
        return Ok(());
    }
    for calls in [[Try, Cancel], [Cancel, Try]] {
        for polls in polls() {
            let mut stage = Stage::open(s).await?;
            let mut branch = stage.only(Ask::Request(0))?;
            stage.under(&NOTHING_LEFT);
            branch.forgetful = true;
            let (together, answers) = stage.at_once(&mut branch, calls, polls).await?;
            match &answers[usize::from(calls[1] == Cancel)] {
                Answer::Done(_) => stage.holds(&NOTHING_LEFT, stage.is_undone(), || {
                    "the cancel is done, and the try has an effect".into()
                })?,
                // It may not wait for the try: then it is asked again.
                Answer::Unknown(_) => {}
                Answer::Refused(_) | Answer::TooLate => {
                    return Err(stage.broken(&NOTHING_LEFT, "the cancel is refused"));
                }
            }
            stage.settle(&mut branch, Cancel).await?;
            stage.steps(&mut branch, &[Try, Cancel]).await?;
            if !together {
                break;
            }
        }
    }
    Ok(())
}

async fn twice_at_once(s: &ParticipantSuite, before: &[Phase], phase: Phase) -> Result<(), Broken> {
    for polls in polls() {
        let mut stage = Stage::open(s).await?;
        let mut branch = stage.only(Ask::Request(0))?;
        stage.steps(&mut branch, before).await?;
        stage.under(&ONE_EFFECT);
        let (together, answers) = stage.at_once(&mut branch, [phase, phase], polls).await?;
        for answer in &answers {
            // One may not wait for the other: then it is asked again.
            stage.holds(&ONE_EFFECT, matches!(answer, Answer::Done(_) | Answer::Unknown(_)), || {
                "one of two calls at once is neither done nor unknown".into()
            })?;
        }
        if let [Answer::Done(one), Answer::Done(other)] = &answers {
            stage.holds(&ONE_OUTPUT, equal(one.as_ref(), other.as_ref()), || {
                "two tries at once have two outputs".into()
            })?;
        }
        stage.settle(&mut branch, phase).await?;
        stage.step(&mut branch, phase).await?;
        if !together {
            break;
        }
    }
    Ok(())
}
