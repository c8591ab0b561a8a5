//! Many appends at once.

use crate::protocol::Position;
use crate::store::{Append, Due};
use crate::testing::suite::{Broken, HOUR, Promise, Suite};

const EACH: Promise = Promise::new(
    "append_all gives each write its own answer, at its own place: one that fails keeps no other from being applied",
    "answer a vector as long as the batch; do not stop at the first error, and do not roll the batch back for it",
);
const IN_ORDER: Promise = Promise::new(
    "append_all applies its writes in the order given, each seeing those before it",
    "apply the batch in order; check each position when its turn comes, not all of them beforehand",
);
const ANY_SIZE: Promise = Promise::new(
    "append_all takes a batch of any size",
    "answer an empty batch with an empty vector, and split what is too long for one request",
);

/// Good ones, a conflict, one without a log, a replay: each as if it were alone.
pub(crate) async fn batch_gives_each_write_its_own_answer(s: &Suite) -> Result<(), Broken> {
    let known = s.begin(Due::Keep).await?;
    let [good, other] = [s.first(Due::Keep), s.first(Due::Keep)];
    let astray = s.write(known.id, Position { entries: 1, op: s.op() });
    let nowhere = s.write(s.id(), Position { entries: 1, op: s.op() });
    let batch = [good.clone(), astray, nowhere.clone(), known.clone(), other.clone()];
    let answers = s.store().append_all(&batch).await;
    EACH.equal("the number of answers", &answers.len(), &5)?;
    EACH.holds(answers[0].is_ok(), || format!("a good write: {:?}", answers[0]))?;
    EACH.conflict("a write at another position", &answers[1], known.id)?;
    EACH.not_found("a write without a log", &answers[2], nowhere.id)?;
    EACH.holds(answers[3].is_ok(), || format!("a replay: {:?}", answers[3]))?;
    EACH.holds(answers[4].is_ok(), || format!("a good write behind bad ones: {:?}", answers[4]))?;
    for write in [good, known, other] {
        let log = s.read(write.id).await?;
        EACH.log("a log of the batch", log.as_ref(), &[write.entry], 1)?;
    }
    EACH.equal("the log of the write without one", &s.read(nowhere.id).await?, &None)
}

/// A begin and what follows it may stand in one batch.
pub(crate) async fn batch_is_applied_in_order(s: &Suite) -> Result<(), Broken> {
    let first = s.first(Due::Keep);
    let second = s.next_write(&first);
    let third = s.next_write(&second);
    let answers = s.store().append_all(&[first.clone(), second.clone(), third.clone()]).await;
    IN_ORDER.holds(answers.iter().all(Result::is_ok), || format!("three writes of one log in order: {answers:?}"))?;
    let log = s.read(first.id).await?;
    IN_ORDER.log("three writes of one log", log.as_ref(), &[first.entry, second.entry, third.entry], 3)?;

    let begin = s.first(Due::Keep);
    let early = s.next_write(&begin);
    let answers = s.store().append_all(&[early.clone(), begin.clone()]).await;
    IN_ORDER.equal("the number of answers", &answers.len(), &2)?;
    IN_ORDER.not_found("a write before its log's first", &answers[0], begin.id)?;
    IN_ORDER.holds(answers[1].is_ok(), || format!("the first write of a log: {:?}", answers[1]))?;
    IN_ORDER.log("a log whose second write came first", s.read(begin.id).await?.as_ref(), &[begin.entry], 1)
}

/// Two writes of one batch at one position: the first is applied, the second conflicts.
pub(crate) async fn batch_gives_a_position_to_the_first(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::Keep).await?;
    let winner = s.next_write(&first);
    let loser = s.next_write(&first);
    let answers = s.store().append_all(&[winner.clone(), loser, winner.clone()]).await;
    IN_ORDER.equal("the number of answers", &answers.len(), &3)?;
    IN_ORDER.holds(answers[0].is_ok(), || format!("the first write at a position: {:?}", answers[0]))?;
    IN_ORDER.conflict("the second write at a position", &answers[1], first.id)?;
    IN_ORDER.holds(answers[2].is_ok(), || format!("a replay of the first within the batch: {:?}", answers[2]))?;
    let log = s.read(first.id).await?;
    IN_ORDER.log("a position named twice", log.as_ref(), &[first.entry, winner.entry], 2)
}

/// An empty batch, and one longer than a request may carry.
pub(crate) async fn batch_of_none_and_of_many(s: &Suite) -> Result<(), Broken> {
    ANY_SIZE.equal("the answers to no write", &s.store().append_all(&[]).await.len(), &0)?;
    let writes: Vec<Append> = (0..300).map(|_| s.first(Due::In(HOUR))).collect();
    let answers = s.store().append_all(&writes).await;
    ANY_SIZE.equal("the number of answers to 300 writes", &answers.len(), &300)?;
    for (write, answer) in writes.into_iter().zip(answers) {
        ANY_SIZE.ok("one of 300 writes", answer)?;
        ANY_SIZE.log("one of 300 logs", s.read(write.id).await?.as_ref(), &[write.entry], 1)?;
    }
    Ok(())
}
