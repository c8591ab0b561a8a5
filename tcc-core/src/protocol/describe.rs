//! A change in words, for an operator: one line, without payloads.

use std::fmt;

use super::change::{Change, Decision, Enlisted, Failed, Output, Settled, Verdict};

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(begin) => {
                write!(f, "begin {} by {}", begin.name, begin.by)?;
                if let Some(key) = &begin.key {
                    write!(f, " with the key {:?}", key.text)?;
                }
                if let Some(traceparent) = &begin.traceparent {
                    write!(f, " in the trace {traceparent}")?;
                }
                enlisted(f, &begin.branches)
            }
            Self::Enlist(enlist) => {
                f.write_str("enlist")?;
                enlisted(f, &enlist.branches)?;
                acknowledged(f, &enlist.outputs)
            }
            Self::Decide(decide) => {
                write!(f, "decide {}", decide.decision)?;
                if let Some(cause) = &decide.cause {
                    write!(f, " ({cause})")?;
                }
                enlisted(f, &decide.branches)?;
                acknowledged(f, &decide.outputs)
            }
            Self::Settle(settle) => {
                f.write_str("settle")?;
                for Settled { id, phase, verdict } in &settle.settled {
                    match verdict {
                        Verdict::Done => write!(f, ", branch {id} {}", done(*phase))?,
                        Verdict::Refused(why) => write!(f, ", branch {id} refused its {phase}: {why}")?,
                    }
                }
                for Failed { id, attempts, error } in &settle.failed {
                    write!(f, ", branch {id} failed {attempts} times: {error}")?;
                }
                Ok(())
            }
            Self::Claim(claim) => write!(f, "claim by {}", claim.by),
            Self::Resolve(resolve) => {
                write!(f, "branch {} resolved by {}: {}", resolve.id, resolve.who, resolve.why)
            }
            Self::Snapshot(snapshot) => {
                let record = snapshot.record();
                write!(f, "snapshot of {}, {}", record.name(), record.status())?;
                if let Some(traceparent) = record.traceparent() {
                    write!(f, " in the trace {traceparent}")?;
                }
                match record.branches().len() {
                    0 => Ok(()),
                    branches => write!(f, ", {branches} branches"),
                }
            }
        }
    }
}

const fn done(phase: Decision) -> &'static str {
    match phase {
        Decision::Confirm => "confirmed",
        Decision::Cancel => "cancelled",
    }
}

fn enlisted(f: &mut fmt::Formatter<'_>, branches: &[Enlisted]) -> fmt::Result {
    for branch in branches {
        write!(f, ", branch {} {} v{}", branch.id, branch.action, branch.version)?;
    }
    Ok(())
}

fn acknowledged(f: &mut fmt::Formatter<'_>, outputs: &[Output]) -> fmt::Result {
    for output in outputs {
        write!(f, ", branch {} acknowledged", output.id)?;
    }
    Ok(())
}
