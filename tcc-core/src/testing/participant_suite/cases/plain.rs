//! A branch to which nothing unusual happens.

use crate::protocol::Phase::{Cancel, Confirm, Try};
use crate::testing::participant_suite::ParticipantSuite;
use crate::testing::participant_suite::stage::{Ask, Stage, equal, key};
use crate::testing::participant_suite::subject::{Answer, Payload};
use crate::testing::participant_suite::table::Data;
use crate::testing::promise::{Broken, Promise};

const PAYLOADS: Promise = Promise::new(
    "a request, an output and a refusal survive the log: what is read from JSON is what was written",
    "let `Serialize` and `Deserialize` be each other's inverse; derive both",
);

/// Whatever was done to one service, another has no trace of it.
pub(crate) async fn every_start_is_alike(s: &ParticipantSuite) -> Result<(), Broken> {
    for last in [Confirm, Cancel] {
        let mut stage = Stage::open(s).await?;
        let mut branch = stage.only(Ask::Request(0))?;
        let tried = s.traits.tries.then_some(Try);
        for phase in tried.into_iter().chain([last]) {
            stage.say(&mut branch, phase).await?;
        }
        // The next one has the same key.
        let mut stage = Stage::open(s).await?;
        let mut branch = stage.only(Ask::Request(0))?;
        stage.step(&mut branch, if s.traits.tries { Try } else { Confirm }).await?;
    }
    Ok(())
}

/// Done and confirmed, done and cancelled: what everything else is measured by.
pub(crate) async fn every_phase_is_answered(s: &ParticipantSuite) -> Result<(), Broken> {
    let tried = if s.traits.tries { &[Try][..] } else { &[] };
    for last in [Confirm, Cancel] {
        let mut stage = Stage::open(s).await?;
        let mut branch = stage.only(Ask::Request(0))?;
        stage.steps(&mut branch, tried).await?;
        stage.step(&mut branch, last).await?;
    }
    Ok(())
}

/// What the fixture calls undone is nothing that is left.
pub(crate) async fn a_cancel_gives_back_what_the_try_took(s: &ParticipantSuite) -> Result<(), Broken> {
    const NOTHING_UNDONE: Promise = Promise::new(
        "what has no cancel has nothing to undo: its try leaves her data as they were",
        "give the action a cancel; or leave out of `state` what need not be undone",
    );
    if s.traits.cancels {
        s.learned(Data::Given).await?;
    } else if s.traits.tries {
        let mut stage = Stage::open(s).await?;
        let mut branch = stage.only(Ask::Request(0))?;
        stage.steps(&mut branch, &[Try, Cancel]).await?;
        stage.holds(&NOTHING_UNDONE, stage.is_undone(), || "something is left".into())?;
    }
    Ok(())
}

/// The try had its effect, and its answer was lost: nobody can tell the cancel what it was.
pub(crate) async fn a_cancel_needs_no_output(s: &ParticipantSuite) -> Result<(), Broken> {
    const NO_OUTPUT: Promise = Promise::new(
        "a cancel gives back what the try put aside though nobody knows its output: the answer may have been lost",
        "find the branch's rows by `cx.key()`, not by what is in the output",
    );
    if !s.traits.cancels {
        return Ok(());
    }
    let mut stage = Stage::open(s).await?;
    let mut branch = stage.only(Ask::Request(0))?;
    branch.forgetful = true;
    stage.step(&mut branch, Try).await?;
    stage.under(&NO_OUTPUT);
    stage.steps(&mut branch, &[Cancel, Cancel]).await
}

/// Not even a little.
pub(crate) async fn a_refused_try_changes_nothing(s: &ParticipantSuite) -> Result<(), Broken> {
    let mut stage = Stage::open(s).await?;
    if !stage.refuses() {
        return Ok(());
    }
    let mut branch = stage.only(Ask::Refused)?;
    stage.step(&mut branch, Try).await
}

/// Written, read, and written again: the same.
pub(crate) async fn payloads_survive_the_log(s: &ParticipantSuite) -> Result<(), Broken> {
    let mut stage = Stage::open(s).await?;
    let mut asks = vec![Ask::Request(0), Ask::Request(1)];
    if stage.refuses() {
        asks.push(Ask::Refused);
    }
    for (number, ask) in (0..).zip(asks) {
        let mut branch = stage.branch("", key(1, number, None), ask)?;
        let answer = if s.traits.tries { Some(stage.say(&mut branch, Try).await?) } else { None };
        let mut written = vec![(Payload::Request, branch.request().clone())];
        match answer {
            Some(Answer::Done(Some(output))) => written.push((Payload::Output, output)),
            Some(Answer::Refused(refusal)) => written.push((Payload::Refusal, refusal)),
            _ => {}
        }
        for (what, json) in written {
            let again = stage.service().rewritten(what, &json).map_err(|error| {
                PAYLOADS.broken(format!("the {what} {} can't be read: {error}", json.as_str()))
            })?;
            PAYLOADS.holds(equal(Some(&json), Some(&again)), || {
                format!("the {what} {} is read and written as {}", json.as_str(), again.as_str())
            })?;
        }
    }
    Ok(())
}
