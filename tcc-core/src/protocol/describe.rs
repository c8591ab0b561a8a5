//! A change in words, for an operator: one line, without payloads.

use std::fmt::{self, Write};

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
                    write!(f, " ({})", OneLine(&cause.to_string()))?;
                }
                enlisted(f, &decide.branches)?;
                acknowledged(f, &decide.outputs)
            }
            Self::Settle(settle) => {
                f.write_str("settle")?;
                for Settled { id, phase, verdict } in &settle.settled {
                    match verdict {
                        Verdict::Done => write!(f, ", branch {id} {}", done(*phase))?,
                        Verdict::Refused(why) => {
                            write!(f, ", branch {id} refused its {phase}: {}", OneLine(why))?
                        }
                    }
                }
                for Failed { id, attempts, error } in &settle.failed {
                    write!(f, ", branch {id} failed {attempts} times: {}", OneLine(error))?;
                }
                Ok(())
            }
            Self::Claim(claim) => write!(f, "claim by {}", claim.by),
            Self::Resolve(resolve) => {
                let (who, why) = (OneLine(&resolve.who), OneLine(&resolve.why));
                write!(f, "branch {} resolved by {who}: {why}", resolve.id)
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

/// A text that others wrote, on one line: line breaks and other control characters are spelt out.
pub(crate) struct OneLine<'t>(pub(crate) &'t str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\u{2028}' | '\u{2029}' => write!(f, "{}", character.escape_default())?,
                character if character.is_control() => write!(f, "{}", character.escape_default())?,
                character => f.write_char(character)?,
            }
        }
        Ok(())
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
