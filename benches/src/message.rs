//! What `tcc-bench` and the program of the peers tell one another: JSON, one message in a line.
//!
//! `benches/peers` includes this very file.

use serde::{Deserialize, Serialize};

use crate::drive::{Load, Ran};

/// What the peers' program is told, on its standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Connect. Answered by [`Said::Started`].
    Start {
        mode: Mode,
        /// As the peer wants it: `redis://…` or `sqlite:…`.
        url: String,
        /// On SQLite: whether a commit is brought to the disk (`synchronous=FULL`), which the peer doesn't do by itself.
        full: bool,
    },
    /// Run a turn. Answered by [`Said::Begins`], [`Said::Ends`] and [`Said::Ran`].
    Run(Load),
    /// Disconnect. Answered by [`Said::Stopped`].
    Stop,
}

/// The ways in which dtmrs can be used without a server of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// `Embedded`: workers ask the store what is due every millisecond.
    Embedded,
    /// `Api::with_inline_driver`: whoever submits starts the driver at once.
    Inline,
}

/// What it says, on its standard output.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    Started,
    Begins,
    Ends,
    Ran(Ran),
    Stopped,
    /// The order could not be carried out.
    Failed(String),
}
