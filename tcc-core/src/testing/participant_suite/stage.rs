//! One fresh service, the calls made of it, and the story of them.

use std::fmt::Write;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::ParticipantSuite;
use super::subject::{Answer, Call, PAUSE, Seen, Subject};
use super::table::{Cell, Effect, Kind, REQUEST, Row, Wanted, cell};
use crate::protocol::{BranchId, BranchKey, Json, Phase, Run, TxId};
use crate::testing::poll::{dropped_after, polled};
use crate::testing::promise::{Broken, Promise};
use crate::testing::suite::BOUND;

const PAYLOAD: Promise =
    Promise::new("a request can be written to the log", "let it be JSON: the keys of its maps are text");
const READABLE: Promise = Promise::new(
    "a call that was answered or dropped leaves the service usable: her data can be read",
    "let a dropped future leave no lock and no open database transaction behind",
);

/// How long the second of two calls is waited for alone.
const GRACE: Duration = Duration::from_millis(50);

/// What a branch asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// What can be had, by its number.
    Request(u32),
    /// What is refused.
    Refused,
}

/// A branch as the suite plays it: the coordinator's side.
pub(super) struct Branch {
    name: &'static str,
    key: BranchKey,
    kind: Kind,
    request: Json,
    /// What it has seen.
    pub(super) row: Row,
    /// The first output of its try.
    pub(super) output: Option<Json>,
    /// The first refusal of its try.
    refusal: Option<Json>,
    attempts: [u32; 3],
    /// Whether its cancel is told the output: not if the answer of the try was lost.
    pub(super) forgetful: bool,
}

/// The key of a branch. Each start is fresh, so the same few will do.
pub(super) fn key(tx: u8, branch: u16, run: Option<u64>) -> BranchKey {
    let tx = TxId::from_time(1_790_000_000_000 + u64::from(tx), [tx; 10]);
    BranchKey { run: run.map(Run::from_u64), ..BranchKey::new(tx, BranchId::new(branch)) }
}

/// How many polls a call is ahead, or is given: each of the first, and of more a part.
pub(super) fn polls() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(0), |polls| Some(polls + 1 + polls / 8)).take_while(|polls| *polls < 400)
}

/// One fresh service.
pub(super) struct Stage<'s> {
    suite: &'s ParticipantSuite,
    service: Box<dyn Subject>,
    told: Vec<String>,
    first: Seen,
    pub(super) now: Seen,
    /// Stands in for the promises of the table.
    promise: Option<&'static Promise>,
}

impl<'s> Stage<'s> {
    /// Starts a service.
    pub(super) async fn open(suite: &'s ParticipantSuite) -> Result<Self, Broken> {
        let service = (suite.start)().await;
        let now = look(&*service).await.ok_or_else(|| READABLE.broken("`state` does not return"))?;
        suite.fresh(&*service, &now)?;
        Ok(Self { suite, service, told: Vec::new(), first: now.clone(), now, promise: None })
    }

    /// The same, and this is the promise that is at stake from now on, whatever the table says.
    pub(super) fn under(&mut self, promise: &'static Promise) {
        self.promise = Some(promise);
    }

    /// A branch that has seen nothing.
    pub(super) fn branch(&self, name: &'static str, key: BranchKey, ask: Ask) -> Result<Branch, Broken> {
        let traits = self.suite.traits;
        let request = match ask {
            Ask::Request(number) => self.service.request(number),
            Ask::Refused => self.service.refused().expect("a case asks first whether the action refuses"),
        };
        Ok(Branch {
            name,
            key,
            kind: Kind {
                tries: traits.tries,
                confirms: traits.confirms,
                cancels: traits.cancels,
                refuses: ask == Ask::Refused,
            },
            request: request.map_err(|error| PAYLOAD.broken(error.to_string()))?,
            row: Row::None,
            // What has no try has nothing for its output.
            output: if traits.tries { None } else { Json::of(&()).ok() },
            refusal: None,
            attempts: [0; 3],
            forgetful: false,
        })
    }

    /// The only branch of a service.
    pub(super) fn only(&self, ask: Ask) -> Result<Branch, Broken> {
        self.branch("", key(1, 0, None), ask)
    }

    /// Whether the action ever refuses a request.
    pub(super) fn refuses(&self) -> bool {
        self.suite.traits.tries && self.service.refused().is_some()
    }

    /// Makes a call, whatever it may be answered.
    pub(super) async fn say(&mut self, branch: &mut Branch, phase: Phase) -> Result<Answer, Broken> {
        let call = self.call(branch, phase).await?;
        let answer = self.service.call(&call).await;
        self.tell(format!("{}{}: {answer}", branch.name, name(&call))).await?;
        branch.learn(phase, &answer);
        Ok(answer)
    }

    /// Makes a call, and holds it to the table. Of services with one branch alone.
    pub(super) async fn step(&mut self, branch: &mut Branch, phase: Phase) -> Result<(), Broken> {
        let before = self.now.clone();
        let answer = self.say(branch, phase).await?;
        self.check(branch, phase, &before, &answer).await
    }

    /// Makes these calls.
    pub(super) async fn steps(&mut self, branch: &mut Branch, phases: &[Phase]) -> Result<(), Broken> {
        for phase in phases {
            self.step(branch, *phase).await?;
        }
        Ok(())
    }

    /// The same, as often as it takes until the answer is not *unknown*: what came before it, or comes with it, may hold
    /// it up.
    pub(super) async fn settle(&mut self, branch: &mut Branch, phase: Phase) -> Result<(), Broken> {
        let (before, begun) = (self.now.clone(), Instant::now());
        loop {
            let answer = self.say(branch, phase).await?;
            if !matches!(answer, Answer::Unknown(_)) || begun.elapsed() > BOUND {
                return self.check(branch, phase, &before, &answer).await;
            }
            sleep(PAUSE).await;
        }
    }

    /// Makes a call, and drops it after so many polls. The answer, if it came before that.
    pub(super) async fn dropped(
        &mut self,
        branch: &mut Branch,
        phase: Phase,
        polls: usize,
    ) -> Result<Option<Answer>, Broken> {
        let call = self.call(branch, phase).await?;
        let answer = dropped_after(polls, self.service.call(&call)).await;
        self.tell(match &answer {
            Some(answer) => format!("{}: {answer}", name(&call)),
            None => format!("{}, dropped after {polls} polls", name(&call)),
        })
        .await?;
        if let Some(answer) = &answer {
            branch.learn(phase, answer);
        }
        Ok(answer)
    }

    /// Makes two calls at once: the first comes so many polls far, and stands still there until the second is done, or
    /// waits for it. Whether both were under way at some time, and what was answered.
    pub(super) async fn at_once(
        &mut self,
        branch: &mut Branch,
        [first, second]: [Phase; 2],
        polls: usize,
    ) -> Result<(bool, [Answer; 2]), Broken> {
        let (one, two) = (self.call(branch, first).await?, self.call(branch, second).await?);
        let (together, answers) = {
            let (mut ahead, mut behind) = (pin!(self.service.call(&one)), pin!(self.service.call(&two)));
            match polled(polls, ahead.as_mut()).await {
                Some(answer) => (false, [answer, behind.await]),
                None => match timeout(GRACE, behind.as_mut()).await {
                    Ok(answer) => (true, [ahead.await, answer]),
                    // It waits for what the first one holds.
                    Err(_) => (true, tokio::join!(ahead, behind).into()),
                },
            }
        };
        let [said, also] = &answers;
        self.tell(match together {
            true => format!(
                "{}, and after {polls} polls of it, at once, {}: {said} / {also}",
                name(&one),
                name(&two)
            ),
            false => format!("{}: {said}; then {}: {also}", name(&one), name(&two)),
        })
        .await?;
        branch.learn(first, said);
        branch.learn(second, also);
        Ok((together, answers))
    }

    /// Lets others ask for the same until one is refused. They, and the last, which has been refused.
    pub(super) async fn run_out(&mut self) -> Result<(Vec<Branch>, Branch), Broken> {
        const RUNS_OUT: Promise = Promise::of_fixture(
            "what `request` asks for runs out after 100 others at most",
            "let `start` give less, or let `request` ask for more; if a refusal depends on the request alone, say \
             `const RUNS_OUT: bool = false`",
        );
        let (told, mut had) = (self.told.len(), Vec::new());
        for number in 0..=100 {
            let mut other = self.branch("another branch: ", key(100 + number, 0, None), Ask::Request(0))?;
            let answer = self.say(&mut other, Phase::Try).await?;
            match answer {
                Answer::Done(_) => {
                    other.row = Row::Tried;
                    had.push(other);
                }
                Answer::Refused(_) => {
                    other.row = Row::Refused;
                    self.told.truncate(told);
                    self.told.push(format!(
                        "{} other branches try the same: done; then one more: {answer}\n       {}",
                        had.len(),
                        self.now
                    ));
                    return Ok((had, other));
                }
                Answer::TooLate | Answer::Unknown(_) => {
                    return Err(self.broken(&REQUEST, &format!("expected done, or refused, got {answer}")));
                }
            }
        }
        Err(RUNS_OUT.broken(format!("{} branches asked for the same, and all had it", had.len())))
    }

    /// Makes the same call of two branches: if it has an effect in one, it has in the other. What her data said between
    /// the two.
    pub(super) async fn both(
        &mut self,
        promise: &Promise,
        branches: [&mut Branch; 2],
        phase: Phase,
    ) -> Result<Seen, Broken> {
        let mut seen = vec![self.now.clone()];
        for branch in branches {
            let answer = self.say(branch, phase).await?;
            self.done(promise, &answer)?;
            seen.push(self.now.clone());
        }
        let alike = self.same(&seen[0], &seen[1]) == self.same(&seen[1], &seen[2]);
        self.holds(promise, alike, || {
            "of the last two calls, of two branches, one has an effect and the other has not".into()
        })?;
        Ok(seen.swap_remove(1))
    }

    /// Whether her data say what they said at first, but for what a cancel may leave.
    pub(super) fn is_undone(&self) -> bool {
        self.is_undone_since(&self.first)
    }

    /// Whether her data say what they said then, but for what a cancel may leave.
    pub(super) fn is_undone_since(&self, then: &Seen) -> bool {
        self.service.undone(then, &self.now)
    }

    /// Whether two states are the same.
    pub(super) fn same(&self, one: &Seen, other: &Seen) -> bool {
        self.service.same(one, other)
    }

    pub(super) fn service(&self) -> &dyn Subject {
        &*self.service
    }

    pub(super) fn holds(
        &self,
        promise: &Promise,
        holds: bool,
        found: impl FnOnce() -> String,
    ) -> Result<(), Broken> {
        if holds { Ok(()) } else { Err(self.broken(promise, &found())) }
    }

    /// Whether a call was done.
    pub(super) fn done(&self, promise: &Promise, answer: &Answer) -> Result<(), Broken> {
        self.holds(promise, matches!(answer, Answer::Done(_)), || format!("expected done, got {answer}"))
    }

    /// With the story.
    pub(super) fn broken(&self, promise: &Promise, found: &str) -> Broken {
        let mut story = format!("{found}\n    at first\n       {}", self.first);
        for (number, line) in (1..).zip(&self.told) {
            let _ = write!(story, "\n    {number}. {line}");
        }
        promise.broken(story)
    }

    /// Holds an answer, and what her data say now, to the table.
    async fn check(
        &self,
        branch: &mut Branch,
        phase: Phase,
        before: &Seen,
        answer: &Answer,
    ) -> Result<(), Broken> {
        let Cell { wanted, effect, row, promise } = cell(branch.kind, phase, branch.row);
        let promise = self.promise.unwrap_or(promise);
        self.holds(promise, branch.is(wanted, answer), || {
            format!("expected {}, got {answer}", wanted.describe())
        })?;
        match effect {
            Effect::Nothing => self.holds(promise, self.same(before, &self.now), || {
                format!("the last call has an effect, where none was expected; before it\n       {before}")
            })?,
            Effect::Mark => {
                self.holds(promise, self.is_undone(), || "the last call has an effect".into())?;
            }
            Effect::Becomes(data) => {
                let wanted = self.suite.learned(data).await?;
                self.holds(promise, self.same(wanted, &self.now), || {
                    format!("her data are not as after a plain run, which are\n       {wanted}")
                })?;
            }
        }
        branch.row = row;
        Ok(())
    }

    async fn call(&self, branch: &mut Branch, phase: Phase) -> Result<Call, Broken> {
        let attempt = &mut branch.attempts[phase as usize];
        *attempt += 1;
        let attempt = *attempt;
        let output = match (phase, &branch.output) {
            (Phase::Try, _) => None,
            (Phase::Confirm, None) => Some(self.suite.output().await?),
            (Phase::Confirm, output) => output.clone(),
            (Phase::Cancel, output) => output.clone().filter(|_| !branch.forgetful && branch.kind.tries),
        };
        Ok(Call { key: branch.key, phase, attempt, request: branch.request.clone(), output })
    }

    /// Writes a call down, and looks at what has come of it.
    async fn tell(&mut self, line: String) -> Result<(), Broken> {
        self.told.push(line);
        let Some(now) = look(&*self.service).await else {
            return Err(self.broken(&READABLE, "after the last call, `state` does not return"));
        };
        let before = std::mem::replace(&mut self.now, now);
        if !self.same(&before, &self.now) {
            let now = &self.now;
            self.told.last_mut().expect("it was pushed above").push_str(&format!("\n       {now}"));
        }
        Ok(())
    }
}

impl Branch {
    pub(super) fn request(&self) -> &Json {
        &self.request
    }

    /// Keeps the first output and the first refusal.
    fn learn(&mut self, phase: Phase, answer: &Answer) {
        match (phase, answer) {
            (Phase::Try, Answer::Done(output)) if self.output.is_none() => self.output.clone_from(output),
            (Phase::Try, Answer::Refused(refusal)) if self.refusal.is_none() => {
                self.refusal = Some(refusal.clone());
            }
            _ => {}
        }
    }

    /// Whether an answer is one that is wanted.
    pub(super) fn is(&self, wanted: Wanted, answer: &Answer) -> bool {
        match (wanted, answer) {
            (Wanted::Done | Wanted::DoneOrRefused, Answer::Done(_)) => true,
            (Wanted::FirstOutput, Answer::Done(output)) => equal(output.as_ref(), self.output.as_ref()),
            (Wanted::Refused | Wanted::DoneOrRefused | Wanted::Error, Answer::Refused(_)) => true,
            (Wanted::SameRefusal, Answer::Refused(refusal)) => equal(Some(refusal), self.refusal.as_ref()),
            (Wanted::Error | Wanted::SameRefusal, Answer::TooLate) => true,
            _ => false,
        }
    }
}

/// Whether two payloads say the same: the order of a map's keys says nothing.
pub(super) fn equal(one: Option<&Json>, other: Option<&Json>) -> bool {
    let value = |json: &Json| json.to::<serde_json::Value>().ok();
    one.and_then(value) == other.and_then(value)
}

async fn look(service: &dyn Subject) -> Option<Seen> {
    timeout(BOUND, service.state()).await.ok()
}

fn name(call: &Call) -> &'static str {
    match (call.phase, &call.output) {
        (Phase::Try, _) => "try",
        (Phase::Confirm, _) => "confirm",
        (Phase::Cancel, None) => "cancel, without the output",
        (Phase::Cancel, Some(_)) => "cancel",
    }
}
