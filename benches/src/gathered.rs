//! The floor, gathered: one script call for all that wait. The best that a bare program could do for many callers, so
//! that a ratio to the floor does not flatter.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context, anyhow, ensure};
use async_trait::async_trait;
use redis::Script;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::compare::{Contender, Sample, measure};
use crate::drive::{Load, Work};
use crate::floor::{branch, connect, id, key};
use crate::shape::Shape;
use crate::stage::Stage;

/// The four steps of the floor with the same records, up to [`MOST`] of them in one call.
pub(crate) struct Gathered(pub(crate) Shape);

/// How many steps go out as one call.
const MOST: usize = 128;
/// How many calls may be under way.
const DEPTH: usize = 2;

const INDEX: &str = "floor:{0}:due";
const DUE: &str = "1790000000";

/// KEYS: the index, then the record of each step. ARGV: for each step a letter, the number of its arguments, and these.
const STEPS: &str = "
local call = redis.call
local answers, due, gone, ids = {}, {}, {}, {}
local at = 1
for i = 2, #KEYS do
  local key, step, count = KEYS[i], ARGV[at], tonumber(ARGV[at + 1])
  local done = 1
  if step == 'i' then
    if call('EXISTS', key) == 1 then
      done = 0
    else
      call('HSET', key, 'status', 'trying', unpack(ARGV, at + 4, at + 1 + count))
      due[#due + 1] = ARGV[at + 2]
      due[#due + 1] = ARGV[at + 3]
    end
  elseif step == 'x' then
    gone[#gone + 1] = key
    ids[#ids + 1] = ARGV[at + 2]
  elseif call('HGET', key, 'status') ~= 'trying' then
    done = 0
  else
    call('HSET', key, ARGV[at + 2], ARGV[at + 3])
  end
  answers[i - 1] = done
  at = at + 2 + count
end
if #due > 0 then call('ZADD', KEYS[1], unpack(due)) end
if #gone > 0 then
  call('DEL', unpack(gone))
  call('ZREM', KEYS[1], unpack(ids))
end
return table.concat(answers)";

#[async_trait]
impl Contender for Gathered {
    fn name(&self) -> String {
        format!("{} gathered", self.0.floor())
    }

    async fn turn(&mut self, stage: &Stage, load: Load) -> anyhow::Result<Sample> {
        let before = stage.read()?;
        let connection = connect(&stage.url()?).await?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let script = Arc::new(Script::new(STEPS));
        let mut senders = JoinSet::new();
        for _ in 0..DEPTH {
            senders.spawn(send(connection.clone(), script.clone(), receiver.clone()));
        }
        let work = Bare {
            steps: sender,
            shape: self.0,
            branch: branch(self.0.payload).into(),
            next: Arc::default(),
        };
        let sample = measure(stage, load, &work).await?;
        drop(work);
        while let Some(ended) = senders.join_next().await {
            ended.context("a sender panicked")??;
        }
        sample.with_kept(before, stage)
    }
}

struct Step {
    key: String,
    letter: &'static str,
    arguments: Vec<Arc<str>>,
    answer: oneshot::Sender<bool>,
}

/// Sends what waits, until nobody is left who could ask for more.
async fn send(
    mut connection: MultiplexedConnection,
    script: Arc<Script>,
    steps: Arc<Mutex<mpsc::UnboundedReceiver<Step>>>,
) -> anyhow::Result<()> {
    let mut batch = Vec::with_capacity(MOST);
    loop {
        if steps.lock().await.recv_many(&mut batch, MOST).await == 0 {
            return Ok(());
        }
        let mut call = script.key(INDEX);
        for step in &batch {
            call.key(&step.key).arg(step.letter).arg(step.arguments.len());
            for argument in &step.arguments {
                call.arg(&**argument);
            }
        }
        let answers: String = call.invoke_async(&mut connection).await.context("a gathered call")?;
        ensure!(answers.len() == batch.len(), "{} answers to {} steps", answers.len(), batch.len());
        for (step, answer) in batch.drain(..).zip(answers.bytes()) {
            // Who no longer waits need not know.
            let _ = step.answer.send(answer == b'1');
        }
    }
}

#[derive(Clone)]
struct Bare {
    steps: mpsc::UnboundedSender<Step>,
    shape: Shape,
    branch: Arc<str>,
    next: Arc<AtomicU64>,
}

impl Bare {
    async fn step(&self, key: &str, letter: &'static str, arguments: Vec<Arc<str>>) -> anyhow::Result<()> {
        let (answer, done) = oneshot::channel();
        let step = Step { key: key.to_owned(), letter, arguments, answer };
        self.steps.send(step).map_err(|_| anyhow!("the senders are gone"))?;
        ensure!(done.await.context("a sender is gone")?, "a script found another state than it was left in");
        Ok(())
    }
}

impl Work for Bare {
    async fn once(&self, _: usize) -> anyhow::Result<()> {
        let id = id(&self.next);
        let key = key(&id);
        let id: Arc<str> = id.into();
        let shape = self.shape;
        let first = if shape.together { shape.branches } else { 1 };
        let mut arguments: Vec<Arc<str>> = vec![DUE.into(), id.clone()];
        for number in 0..first {
            arguments.push(number.to_string().into());
            arguments.push(self.branch.clone());
        }
        self.step(&key, "i", arguments).await?;
        for number in first..shape.branches {
            self.step(&key, "s", vec![number.to_string().into(), self.branch.clone()]).await?;
        }
        self.step(&key, "s", vec!["status".into(), shape.decided().into()]).await?;
        self.step(&key, "x", vec![id]).await
    }
}
