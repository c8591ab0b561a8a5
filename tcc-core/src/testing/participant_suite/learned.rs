//! What held, taken and given back look like in her data: learned from plain runs, each in a fresh service.

use tokio::sync::OnceCell;

use super::ParticipantSuite;
use super::stage::{Ask, Stage, key};
use super::subject::{Seen, Subject};
use super::table::{CANCEL, CONFIRM, Data, REQUEST};
use crate::protocol::{Json, Phase};
use crate::testing::promise::{Broken, Promise};

const FRESH: Promise = Promise::of_fixture(
    "every start of the fixture is alike",
    "start on data of its own, the fence's table included, and leave times and random ids out of `state`",
);
const GIVES_BACK: Promise = Promise::new(
    "a cancel gives back what the try put aside: all is as it was before",
    "undo in cancel all that the try does; if it leaves something to be seen, say in `ParticipantFixture::undone` what",
);

/// What was learned so far.
#[derive(Default)]
pub(super) struct Learned {
    untouched: OnceCell<Seen>,
    held: OnceCell<Seen>,
    taken: OnceCell<Seen>,
    given: OnceCell<Seen>,
    output: OnceCell<Json>,
}

impl ParticipantSuite {
    /// Compares what a fresh service says with what the first one said.
    pub(super) fn fresh(&self, service: &dyn Subject, now: &Seen) -> Result<(), Broken> {
        // Of two that come at once either is the first.
        let _ = self.learned.untouched.set(now.clone());
        let first = self.learned.untouched.get().expect("it was set above");
        FRESH.holds(service.same(first, now), || {
            format!("one fresh service says\n    {first}\n  and another one says\n    {now}")
        })
    }

    /// What her data look like after an effect.
    pub(super) async fn learned(&self, data: Data) -> Result<&Seen, Broken> {
        let (cell, last) = match data {
            Data::Held => (&self.learned.held, None),
            Data::Taken => (&self.learned.taken, Some(Phase::Confirm)),
            Data::Given => (&self.learned.given, Some(Phase::Cancel)),
        };
        cell.get_or_try_init(async || Ok(Box::pin(self.plain(last)).await?.0)).await
    }

    /// An output of a try, of another branch than the one that it will be told to.
    pub(super) async fn output(&self) -> Result<Json, Broken> {
        let output = &self.learned.output;
        output.get_or_try_init(async || Ok(Box::pin(self.plain(None)).await?.1)).await.cloned()
    }

    /// Makes a plain run: what her data say after it, and the output.
    async fn plain(&self, last: Option<Phase>) -> Result<(Seen, Json), Broken> {
        let mut stage = Stage::open(self).await?;
        let mut branch = stage.branch("", key(1, 0, None), Ask::Request(0))?;
        let phases = self.traits.tries.then_some(Phase::Try).into_iter().chain(last);
        for phase in phases {
            let promise = match phase {
                Phase::Try => &REQUEST,
                Phase::Confirm => &CONFIRM,
                Phase::Cancel => &CANCEL,
            };
            let answer = stage.say(&mut branch, phase).await?;
            stage.done(promise, &answer)?;
        }
        if last == Some(Phase::Cancel) {
            stage.holds(&GIVES_BACK, stage.is_undone(), || "something is left".into())?;
        }
        let output = branch.output.ok_or_else(|| REQUEST.broken("a try that was done has no output"))?;
        Ok((stage.now, output))
    }
}
