//! Other branches: what differs in any part of the key is another one.

use crate::protocol::BranchKey;
use crate::protocol::Phase::{Cancel, Confirm, Try};
use crate::testing::participant_suite::ParticipantSuite;
use crate::testing::participant_suite::stage::{Ask, Stage, key};
use crate::testing::participant_suite::subject::Answer;
use crate::testing::participant_suite::table::Wanted;
use crate::testing::promise::{Broken, Promise};

const BRANCHES: Promise = Promise::new(
    "two branches of one transaction are apart: each has its own effects",
    "find the branch's row by all of `cx.key()`, not by the transaction `cx.tx()` alone",
);
const TRANSACTIONS: Promise = Promise::new(
    "the branches of two transactions are apart, though they have the same number",
    "find the branch's row by all of `cx.key()`, not by the number `cx.id()` alone",
);
const RUNS: Promise = Promise::new(
    "two runs of a transaction with a key are apart, though they have the same id",
    "find the branch's row by all of `cx.key()`: its run is a part of it, and of its text",
);

/// An order of two articles.
pub(crate) async fn branches_of_a_transaction_are_apart(s: &ParticipantSuite) -> Result<(), Broken> {
    apart(s, &BRANCHES, [key(1, 0, None), key(1, 1, None)]).await
}

/// Every transaction has a branch 0.
pub(crate) async fn transactions_are_apart(s: &ParticipantSuite) -> Result<(), Broken> {
    apart(s, &TRANSACTIONS, [key(1, 0, None), key(2, 0, None)]).await
}

/// The first run was cancelled, and the key may be used again.
pub(crate) async fn runs_of_a_key_are_apart(s: &ParticipantSuite) -> Result<(), Broken> {
    apart(s, &RUNS, [key(1, 0, Some(1)), key(1, 0, Some(2))]).await
}

async fn apart(s: &ParticipantSuite, promise: &Promise, keys: [BranchKey; 2]) -> Result<(), Broken> {
    if s.traits.tries && s.traits.cancels {
        one_is_cancelled(s, promise, keys).await?;
    }
    both_are_confirmed(s, promise, keys).await
}

/// The second is cancelled, and the first is none the wiser.
async fn one_is_cancelled(
    s: &ParticipantSuite,
    promise: &Promise,
    [one, other]: [BranchKey; 2],
) -> Result<(), Broken> {
    let mut stage = Stage::open(s).await?;
    let mut one = stage.branch("one: ", one, Ask::Request(0))?;
    let mut other = stage.branch("other: ", other, Ask::Request(1))?;
    let between = stage.both(promise, [&mut one, &mut other], Try).await?;

    let cancelled = stage.say(&mut other, Cancel).await?;
    let undone = matches!(cancelled, Answer::Done(_)) && stage.is_undone_since(&between);
    stage.holds(promise, undone, || {
        format!("the last call is not done, or has not given back what its own try took; before that\n       {between}")
    })?;
    let before = stage.now.clone();
    let again = stage.say(&mut one, Try).await?;
    let same = one.is(Wanted::FirstOutput, &again) && stage.same(&before, &stage.now);
    stage.holds(promise, same, || "the first branch does not know its try any more".into())?;
    let confirmed = stage.say(&mut one, Confirm).await?;
    stage.done(promise, &confirmed)
}

/// What the first one's confirm does, the second one's does as well.
async fn both_are_confirmed(
    s: &ParticipantSuite,
    promise: &Promise,
    [one, other]: [BranchKey; 2],
) -> Result<(), Broken> {
    let mut stage = Stage::open(s).await?;
    let mut one = stage.branch("one: ", one, Ask::Request(0))?;
    let mut other = stage.branch("other: ", other, Ask::Request(1))?;
    if s.traits.tries {
        stage.both(promise, [&mut one, &mut other], Try).await?;
    }
    stage.both(promise, [&mut one, &mut other], Confirm).await.map(drop)
}
