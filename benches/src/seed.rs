//! Logs of transactions whose coordinator is gone, written straight into the store.

use std::time::Duration;

use anyhow::Context;
use futures_util::TryStreamExt;
use tcc_core::ActionType;
use tcc_core::protocol::{
    ActionName, Begin, BranchId, Change, Decide, Decision, Enlist, Enlisted, Entry, Group, Json, Name, Op,
    Output, Owner, Position, Record, TxId,
};
use tcc_core::store::{Append, Due, Mode, StatusStore};

use crate::ours::GROUP;
use crate::stock::{Hold, Request, Take};

/// How many are written by one call, two entries each.
const BATCH: usize = 60;
/// How many calls are under way.
const CALLS: usize = 4;

/// Writes transactions of two branches each, due after this time: every other one is decided to confirm, the others are
/// undecided.
pub(crate) async fn seed(store: &impl StatusStore, count: usize, due: Duration) -> anyhow::Result<()> {
    let lines = Lines::of(&Request::abandoned())?;
    let numbers: Vec<usize> = (0..count).collect();
    let batches = futures_util::stream::iter(numbers.chunks(BATCH).map(Ok::<_, anyhow::Error>));
    batches
        .try_for_each_concurrent(CALLS, |numbers| {
            let lines = &lines;
            async move {
                let writes = numbers.iter().flat_map(|&number| log(lines, number as u64, due));
                let writes: Vec<Append> = writes.collect::<anyhow::Result<_>>()?;
                for answer in store.append_all(&writes).await {
                    answer.context("an abandoned transaction could not be written")?;
                }
                Ok(())
            }
        })
        .await
}

/// The writes of one: its begin, and the decision of every other.
fn log(lines: &Lines, number: u64, due: Duration) -> Vec<anyhow::Result<Append>> {
    let mut random = [0; 10];
    // Ids of the framework are random at their end: so are these.
    random[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let id = TxId::from_time(1_790_000_000_000, random);
    let (begun, decided) = (Op::from_u64(2 * number + 1), Op::from_u64(2 * number + 2));
    let append = |op, after, line: &str| {
        Ok(Append {
            group: Group::new(GROUP)?,
            id,
            after,
            entry: Entry::new(op, line)?,
            due: Due::In(due),
            mode: Mode::Extend,
        })
    };
    let mut writes = vec![append(begun, Position::START, &lines.begin_together)];
    if number.is_multiple_of(2) {
        writes.push(append(decided, Position::START.then(begun), &lines.decide_together));
    }
    writes
}

/// What the framework writes for a transaction of two branches, as text.
pub(crate) struct Lines {
    /// The begin with the first branch.
    pub(crate) begin: String,
    /// The second branch, and what the first returned.
    pub(crate) enlist: String,
    /// The decision, with what the second returned.
    pub(crate) decide: String,
    /// What is left in the end.
    pub(crate) tombstone: String,
    /// The begin with both branches.
    begin_together: String,
    /// The decision, with what both returned.
    decide_together: String,
}

impl Lines {
    pub(crate) fn of(request: &Request) -> anyhow::Result<Self> {
        let branch = |number| {
            anyhow::Ok(Enlisted {
                id: BranchId::new(number),
                action: ActionName::new(Take::NAME)?,
                version: Take::VERSION,
                request: Json::of(request)?,
                on_confirm: false,
            })
        };
        let output = |number| {
            anyhow::Ok(Output {
                id: BranchId::new(number),
                output: Json::of(&Hold { hold: request.amount })?,
            })
        };
        let begin = |branches| {
            anyhow::Ok(Change::Begin(Begin {
                name: Name::new("bench".to_owned())?,
                begun_ms: 1_790_000_000_000,
                timeout_ms: 30_000,
                by: Owner::from_u64(0xdead_dead_dead_dead),
                key: None,
                run: None,
                traceparent: None,
                branches,
            }))
        };
        let decide = |outputs| {
            Change::Decide(Decide {
                decision: Decision::Confirm,
                branches: Vec::new(),
                outputs,
                cause: None,
                value: None,
            })
        };
        let first = begin(vec![branch(0)?])?;
        let tombstone = Change::Snapshot(Record::first(&first)?.tombstone());
        let enlist = Change::Enlist(Enlist { branches: vec![branch(1)?], outputs: vec![output(0)?] });
        Ok(Self {
            begin: first.encode(),
            enlist: enlist.encode(),
            decide: decide(vec![output(1)?]).encode(),
            tombstone: tombstone.encode(),
            begin_together: begin(vec![branch(0)?, branch(1)?])?.encode(),
            decide_together: decide(vec![output(0)?, output(1)?]).encode(),
        })
    }
}
