//! Changes of every kind: such as fit a record, and such as need not.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use tcc_core::protocol::*;

/// Any text, of any script, with control characters.
pub(crate) fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..8).prop_map(String::from_iter)
}

pub(crate) fn name() -> impl Strategy<Value = Name> {
    "[a-zA-Z0-9_-]{1,9}".prop_map(|name| Name::new(name).unwrap())
}

/// Any JSON, as a payload stands in the log.
pub(crate) fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        2 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        2 => text().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            vec((text(), inner), 0..3).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
    .prop_map(|value| Json::of(&value).unwrap())
}

/// What one step of a history is made of. Read as a change that fits the record ([`Step::fitting`]) or as one that
/// need not ([`Step::wild`]).
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) fits: bool,
    kind: u8,
    /// One number per branch: what happens to it.
    picks: [u8; 6],
    owner: u64,
    text: String,
    json: Json,
    name: Name,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let parts =
        (prop::bool::weighted(0.8), any::<u8>(), any::<[u8; 6]>(), any::<u64>(), text(), json(), name());
    parts.prop_map(|(fits, kind, picks, owner, text, json, name)| Step {
        fits,
        kind,
        picks,
        owner,
        text,
        json,
        name,
    })
}

impl Step {
    fn enlisted(&self, id: usize) -> Enlisted {
        Enlisted {
            id: BranchId::new(id as u16),
            action: ActionName::new("inventory.reserve").unwrap(),
            version: 1 + u16::from(self.picks[5] % 3),
            request: self.json.clone(),
            on_confirm: self.picks[id % 6].is_multiple_of(4),
        }
    }

    fn output(&self, id: BranchId) -> Output {
        Output { id, output: self.json.clone() }
    }

    pub(crate) fn begin(&self) -> Begin {
        Begin {
            name: self.name.clone(),
            begun_ms: self.owner,
            timeout_ms: u64::from(self.kind),
            by: Owner::from_u64(self.owner),
            key: self
                .kind
                .is_multiple_of(2)
                .then(|| Key { text: self.text.clone(), request: self.text.clone() }),
            run: Some(Run::from_u64(u64::from(self.picks[0]))),
            traceparent: TraceParent::new(self.owner.into(), u64::from(self.picks[1]), self.picks[2]).ok(),
            branches: (0..usize::from(self.picks[0] % 4)).map(|id| self.enlisted(id)).collect(),
        }
    }

    fn decide(&self, decision: Decision, branches: Vec<Enlisted>, outputs: Vec<Output>) -> Change {
        let causes = [
            Cause::Failed,
            Cause::Panicked,
            Cause::Dropped,
            Cause::TimedOut,
            Cause::Abandoned,
            Cause::Operator { who: self.text.clone(), why: self.text.clone() },
        ];
        let cause = causes[usize::from(self.picks[1]) % causes.len()].clone();
        let value = self.picks[2].is_multiple_of(2).then(|| self.json.clone());
        Change::Decide(Decide {
            decision,
            branches,
            outputs,
            cause: (decision == Decision::Cancel).then_some(cause),
            value: value.filter(|_| decision == Decision::Confirm),
        })
    }

    /// A change that is legal now; `None` if none is.
    pub(crate) fn fitting(&self, record: &Record) -> Option<Change> {
        let pick = |id: BranchId| self.picks[id.index() % 6];
        let trying = record.branches().iter().filter(|branch| branch.state == BranchState::Trying);
        let outputs: Vec<_> = trying
            .map(|branch| branch.id)
            .filter(|id| !pick(*id).is_multiple_of(3))
            .map(|id| self.output(id))
            .collect();
        let claim = Change::Claim(Claim { by: Owner::from_u64(self.owner) });
        let refused =
            record.branches().iter().filter(|branch| matches!(branch.state, BranchState::Refused { .. }));
        let resolves: Vec<_> = refused
            .map(|branch| Resolve { id: branch.id, who: self.text.clone(), why: self.text.clone() })
            .map(Change::Resolve)
            .collect();
        let chosen = |from: &[Change]| from.get(usize::from(self.picks[5]) % from.len().max(1)).cloned();
        match (record.status(), self.kind % 8) {
            (Status::Trying, 0) => Some(claim),
            (Status::Trying, 1) => Some(self.decide(Decision::Cancel, vec![], outputs)),
            (Status::Trying, _) if record.is_claimed() => {
                Some(self.decide(Decision::Cancel, vec![], outputs))
            }
            (Status::Trying, 2 | 3) => {
                let first = record.branches().len();
                let joining = (first..first + usize::from(self.picks[4] % 3)).map(|id| self.enlisted(id));
                let joining = joining.map(|branch| Enlisted { on_confirm: true, ..branch }).collect();
                Some(self.decide(Decision::Confirm, joining, outputs))
            }
            (Status::Trying, _) => {
                let first = record.branches().len();
                let branches =
                    (first..first + usize::from(self.picks[4] % 3)).map(|id| self.enlisted(id)).collect();
                Some(Change::Enlist(Enlist { branches, outputs }))
            }
            (Status::Confirming | Status::Cancelling, 0) => Some(claim),
            (Status::Confirming | Status::Cancelling, 1) if !resolves.is_empty() => chosen(&resolves),
            (Status::Confirming | Status::Cancelling, _) => {
                let decision = record.decision()?;
                let mut settle = Settle::default();
                for branch in record.branches().iter().filter(|branch| !branch.state.is_settled()) {
                    let verdict = match pick(branch.id) % 5 {
                        0 => continue,
                        1 => {
                            let (attempts, error) = (branch.attempts + 1, self.text.clone());
                            settle.failed.push(Failed { id: branch.id, attempts, error });
                            continue;
                        }
                        2 => Verdict::Refused(self.text.clone()),
                        _ => Verdict::Done,
                    };
                    settle.settled.push(Settled {
                        id: branch.id,
                        phase: branch.phase_two(decision),
                        verdict,
                    });
                }
                Some(Change::Settle(settle))
            }
            (Status::Heuristic, _) => chosen(&resolves),
            (Status::Confirmed | Status::Cancelled, _) => None,
        }
    }

    /// Any change at all.
    pub(crate) fn wild(&self) -> Change {
        let id = |n: usize| BranchId::new(u16::from(self.picks[n] % 5));
        let phase = if self.picks[3].is_multiple_of(2) { Decision::Confirm } else { Decision::Cancel };
        let verdict =
            if self.picks[4].is_multiple_of(2) { Verdict::Done } else { Verdict::Refused(self.text.clone()) };
        let outputs = (0..usize::from(self.picks[1] % 3)).map(|n| self.output(id(n))).collect();
        match self.kind % 8 {
            0 => Change::Begin(self.begin()),
            1 => Change::Enlist(Enlist {
                branches: vec![self.enlisted(usize::from(self.picks[0] % 6))],
                outputs,
            }),
            2 => {
                let joining = (0..usize::from(self.picks[4] % 3)).map(|n| self.enlisted(n + 1)).collect();
                self.decide(phase, joining, outputs)
            }
            3 => Change::Settle(Settle {
                settled: vec![Settled { id: id(0), phase, verdict }],
                failed: vec![Failed {
                    id: id(1),
                    attempts: u32::from(self.picks[2] % 4),
                    error: self.text.clone(),
                }],
            }),
            4 => Change::Settle(Settle {
                settled: (0..2).map(|n| Settled { id: id(n), phase, verdict: verdict.clone() }).collect(),
                failed: Vec::new(),
            }),
            5 => Change::Claim(Claim { by: Owner::from_u64(self.owner) }),
            6 => Change::Resolve(Resolve { id: id(0), who: self.text.clone(), why: self.text.clone() }),
            _ => Change::Snapshot(Record::begin(&self.begin()).unwrap().snapshot()),
        }
    }
}

/// A history: what it begins with, and its steps.
pub(crate) fn history() -> impl Strategy<Value = (Step, Vec<Step>)> {
    (step(), vec(step(), 0..14))
}

/// A history of changes that are all legal.
pub(crate) fn legal((begin, steps): &(Step, Vec<Step>)) -> (Vec<Change>, Record) {
    let mut record = Record::begin(&begin.begin()).unwrap();
    let mut changes = vec![Change::Begin(begin.begin())];
    for step in steps {
        let Some(change) = step.fitting(&record) else { break };
        record.apply(&change).expect("a fitting change is legal");
        changes.push(change);
    }
    (changes, record)
}

/// The log of these changes.
pub(crate) fn log(changes: &[Change]) -> Log {
    let entries = (1..).zip(changes).map(|(op, change)| entry(op, change)).collect();
    Log::new(entries, changes.len() as u32).unwrap()
}

pub(crate) fn entry(op: u64, change: &Change) -> Entry {
    Entry::new(Op::from_u64(op), change.encode()).unwrap()
}
