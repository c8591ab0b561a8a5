//! What a coordinator measures, with the feature `metrics`.
//!
//! It tells the [`metrics`](https://docs.rs/metrics) facade, and the program chooses where that goes. Without the
//! feature, and without a recorder, nothing is measured and nothing is asked of the store.
//!
//! # With Prometheus
//!
//! Add `metrics-exporter-prometheus` to the program, and install it **before** the coordinator starts: a coordinator
//! that has started without a recorder measures nothing until the next start.
//!
//! ```toml
//! [dependencies]
//! tcc-core = { path = "tcc-core", features = ["metrics"] }
//! metrics-exporter-prometheus = "0.18"
//! ```
//!
//! ```text
//! use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
//!
//! PrometheusBuilder::new()
//!     .with_http_listener(([127, 0, 0, 1], 9000))      // GET http://127.0.0.1:9000/metrics
//!     .set_buckets_for_metric(
//!         Matcher::Suffix("_duration_seconds".into()), // all times are in seconds
//!         &[0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0],
//!     )?
//!     .install()?;                                     // inside the tokio runtime
//! let tcc = Coordinator::builder("shop", store).register(inventory).start().await?;
//! ```
//!
//! Don't set an `idle_timeout` for them: the coordinator keeps its counters in hand, and what the exporter has dropped
//! would no longer be seen.
//!
//! # What to look at
//!
//! - `tcc_transactions_heuristic > 0`: an operator has to [resolve](crate::Operator::resolve) something.
//! - `tcc_most_overdue_seconds > 60`: nobody takes care of what is due. Not a number, `NaN`: the store did not say.
//! - `sum(tcc_transactions_stuck) > 0`: something is retried in vain.
//! - `increase(tcc_unknown_actions_total[10m]) > 0`, for longer than a deploy: an action was removed too early.
//! - `increase(tcc_store_losses_total[1h]) > 0`: the store has lost what it had acknowledged.
//! - `rate(tcc_attempts_total{answer!="ok"}[5m])` by action: which participant is ill.
//!
//! # All metrics
//!
//! Every metric has the label `group`. The labels are of bounded number: names of actions and of transactions (the first
//! 256 that a process meets; those beyond are `(other)`), and words that are listed here. No id, no key, no text of an
//! error is ever a label.
//!
//! | metric | kind | labels | what |
//! | --- | --- | --- | --- |
//! | `tcc_transactions_started_total` | counter | `name` | transactions whose body began; less those decided, they are undecided, or could not begin for want of the store |
//! | `tcc_transactions_decided_total` | counter | `name`, `decision`, `cause` | transactions whose decision this process made durable |
//! | `tcc_transactions_settled_total` | counter | `name`, `outcome`, `cause` | transactions whose last branch this process settled |
//! | `tcc_transactions_recovered_total` | counter | `name`, `status` | transactions that this process claimed: whoever had them died, failed or put them back |
//! | `tcc_transaction_decision_duration_seconds` | histogram | `name`, `decision` | from its begin to its durable decision; of what was abandoned, by the wall clocks of two processes |
//! | `tcc_transaction_duration_seconds` | histogram | `name`, `outcome` | from its begin to the end of settling; of what was recovered, by the wall clocks of two processes |
//! | `tcc_attempts_total` | counter | `action`, `phase`, `answer` | calls of participants |
//! | `tcc_attempt_duration_seconds` | histogram | `action`, `phase` | from a call of a participant to its answer; waiting for its turn does not count |
//! | `tcc_unknown_actions_total` | counter | `action`, `version` | branches put back for another instance, as no participant registered here handles their action and version |
//! | `tcc_alerts_total` | counter | `alert`, `action`, `phase` | calls for help: a branch that failed `alert_after` times, or was refused in a transaction that became heuristic |
//! | `tcc_leases_lost_total` | counter |  | transactions that another took over while this process settled them, or whose log it could not write to in time |
//! | `tcc_store_calls_total` | counter | `operation`, `answer` | calls of the store; an `append_all` that was answered is `ok`, whatever became of its writes |
//! | `tcc_store_call_duration_seconds` | histogram | `operation` | from a call of the store to its answer |
//! | `tcc_store_writes_total` | counter | `answer` | entries that were to be appended, alone or with others, every repeat included |
//! | `tcc_ambiguous_writes_total` | counter | `fate` | writes of which an answer was lost, by what was found out |
//! | `tcc_store_losses_total` | counter |  | times that a log was found to lack entries which the store had acknowledged |
//! | `tcc_unreadable_logs_total` | counter | `why` | times that a claimed log could not be read, and nothing was done with its transaction |
//! | `tcc_writes_waiting` | gauge |  | writes of this process that wait for their turn |
//! | `tcc_transactions_unfinished` | gauge |  | unfinished transactions of the group, from the store's indexes, asked every 10 s |
//! | `tcc_transactions_heuristic` | gauge |  | heuristic transactions of the group, from the store's indexes, asked every 10 s |
//! | `tcc_most_overdue_seconds` | gauge |  | for how long the group's most overdue transaction has been due, from the store's indexes, asked every 10 s |
//! | `tcc_transactions_stuck` | gauge |  | stuck transactions that this process has, or was the last to put back; the sum over all processes is the group's |
//!
//! ## Words
//!
//! | label | words |
//! | --- | --- |
//! | `decision` | `confirm`, `cancel`; `nothing` for a body that called no branch |
//! | `outcome` | `confirmed`, `cancelled`, `heuristic` |
//! | `cause` | why it is cancelled: `failed`, `panicked`, `dropped`, `timed_out`, `abandoned`, `operator`; `none` if it is not |
//! | `status` | `trying`, `confirming`, `cancelling`, `confirmed`, `cancelled`, `heuristic` |
//! | `phase` | `try`, `confirm`, `cancel` |
//! | `answer` of an attempt | `ok`, `refused`, `unknown`, `too_late`, `timeout`, `panicked`; `dropped` if nobody waited for it to the end |
//! | `alert` | `stuck`, `heuristic` |
//! | `operation` | `append`, `append_all`, `claim`, `read`, `list`, `stats`, `check`, `sweep` |
//! | `answer` of the store | `ok`, `conflict`, `not_found`, `unavailable`, `ambiguous`, `corrupt`, `invalid`, `bad_cursor`; `dropped` if nobody waited for it to the end |
//! | `fate` | `applied`, `superseded`, `in_doubt`, `lost` |
//! | `why` | `newer_format`, `malformed`, `illegal`, `store` |
//!
//! # What the numbers can't say
//!
//! Counters count what this process has seen. A decision that is in doubt is counted by nobody. What was settled by a
//! process that died before it wrote the tombstone is settled, and counted, once more. Of the gauges, those of the group
//! come from the store's indexes, so all processes show the same; `tcc_transactions_stuck` does not, for a store does not
//! know what is stuck: every process shows those that it has itself or was the last to put back, and their sum is the
//! group's.

/// A metric: its name, its kind, its labels, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
    /// What it says.
    pub about: &'static str,
}

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It is a distribution; in seconds.
    Histogram,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

macro_rules! metrics {
    ($($kind:ident $constant:ident = $name:literal [$($label:literal)*] $about:literal;)*) => {
        $(
            pub(crate) const $constant: Metric = Metric {
                name: $name, kind: Kind::$kind, labels: &["group", $($label),*], about: $about,
            };
        )*

        /// All of them.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    Counter STARTED = "tcc_transactions_started_total" ["name"]
        "transactions whose body began; less those decided, they are undecided, or could not begin for want of the store";
    Counter DECIDED = "tcc_transactions_decided_total" ["name" "decision" "cause"]
        "transactions whose decision this process made durable";
    Counter SETTLED = "tcc_transactions_settled_total" ["name" "outcome" "cause"]
        "transactions whose last branch this process settled";
    Counter RECOVERED = "tcc_transactions_recovered_total" ["name" "status"]
        "transactions that this process claimed: whoever had them died, failed or put them back";
    Histogram DECISION_TIME = "tcc_transaction_decision_duration_seconds" ["name" "decision"]
        "from its begin to its durable decision; of what was abandoned, by the wall clocks of two processes";
    Histogram SETTLED_TIME = "tcc_transaction_duration_seconds" ["name" "outcome"]
        "from its begin to the end of settling; of what was recovered, by the wall clocks of two processes";
    Counter ATTEMPTS = "tcc_attempts_total" ["action" "phase" "answer"]
        "calls of participants";
    Histogram ATTEMPT_TIME = "tcc_attempt_duration_seconds" ["action" "phase"]
        "from a call of a participant to its answer; waiting for its turn does not count";
    Counter UNKNOWN = "tcc_unknown_actions_total" ["action" "version"]
        "branches put back for another instance, as no participant registered here handles their action and version";
    Counter ALERTS = "tcc_alerts_total" ["alert" "action" "phase"]
        "calls for help: a branch that failed `alert_after` times, or was refused in a transaction that became heuristic";
    Counter LEASES_LOST = "tcc_leases_lost_total" []
        "transactions that another took over while this process settled them, or whose log it could not write to in time";
    Counter STORE_CALLS = "tcc_store_calls_total" ["operation" "answer"]
        "calls of the store; an `append_all` that was answered is `ok`, whatever became of its writes";
    Histogram STORE_TIME = "tcc_store_call_duration_seconds" ["operation"]
        "from a call of the store to its answer";
    Counter WRITES = "tcc_store_writes_total" ["answer"]
        "entries that were to be appended, alone or with others, every repeat included";
    Counter AMBIGUOUS = "tcc_ambiguous_writes_total" ["fate"]
        "writes of which an answer was lost, by what was found out";
    Counter LOSSES = "tcc_store_losses_total" []
        "times that a log was found to lack entries which the store had acknowledged";
    Counter UNREADABLE = "tcc_unreadable_logs_total" ["why"]
        "times that a claimed log could not be read, and nothing was done with its transaction";
    Gauge WAITING = "tcc_writes_waiting" []
        "writes of this process that wait for their turn";
    Gauge UNFINISHED = "tcc_transactions_unfinished" []
        "unfinished transactions of the group, from the store's indexes, asked every 10 s";
    Gauge HEURISTIC = "tcc_transactions_heuristic" []
        "heuristic transactions of the group, from the store's indexes, asked every 10 s";
    Gauge OVERDUE = "tcc_most_overdue_seconds" []
        "for how long the group's most overdue transaction has been due, from the store's indexes, asked every 10 s";
    Gauge STUCK = "tcc_transactions_stuck" []
        "stuck transactions that this process has, or was the last to put back; the sum over all processes is the group's";
}
