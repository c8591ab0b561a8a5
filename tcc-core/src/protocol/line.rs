//! A change as a line of JSON: written by hand, field by field, for it is done four times in each transaction.
//!
//! How it is read is told in `encoding`. That the two agree is tested with random changes, and held for ever by the golden
//! logs.

use std::fmt::Write;

use serde::Serialize;

use super::change::{Begin, Change, Decide, Enlist, Enlisted, Key, Output};
use super::encoding::{FORMAT_VERSION, implied_decision};
use super::json::Json;
use super::record::Record;

/// Room for what is around payloads: in an entry, in a branch, in an output.
const ENTRY: usize = 192;
const BRANCH: usize = 96;
const OUTPUT: usize = 24;

/// A change as one line of JSON.
pub(super) fn of(change: &Change) -> String {
    let mut line = Line { text: String::with_capacity(about_how_long(change)), first: true };
    line.object(|line| {
        line.number("v", FORMAT_VERSION.into());
        match change {
            Change::Begin(change) => line.member("begin", |line| begin(line, change)),
            Change::Enlist(change) => line.member("enlist", |line| enlist(line, change)),
            Change::Decide(change) => line.member("decide", |line| decide(line, change)),
            Change::Settle(change) => line.other("settle", change),
            Change::Claim(change) => line.other("claim", change),
            Change::Resolve(change) => line.other("resolve", change),
            Change::Snapshot(change) => line.member("snapshot", |line| snapshot(line, change.record())),
        }
    });
    line.text
}

fn about_how_long(change: &Change) -> usize {
    let of_branches = |branches: &[Enlisted]| -> usize {
        branches.iter().map(|branch| branch.request.as_str().len() + BRANCH).sum()
    };
    let of_outputs = |outputs: &[Output]| -> usize {
        outputs.iter().map(|output| output.output.as_str().len() + OUTPUT).sum()
    };
    ENTRY
        + match change {
            Change::Begin(change) => of_branches(&change.branches),
            Change::Enlist(change) => of_branches(&change.branches) + of_outputs(&change.outputs),
            Change::Decide(change) => of_branches(&change.branches) + of_outputs(&change.outputs),
            Change::Settle(_) | Change::Claim(_) | Change::Resolve(_) | Change::Snapshot(_) => 0,
        }
}

fn begin(line: &mut Line, change: &Begin) {
    line.plain("name", change.name.as_str());
    line.number("begun_ms", change.begun_ms);
    line.number("timeout_ms", change.timeout_ms);
    line.shown("by", change.by);
    line.key(change.key.as_ref());
    line.shown_if("run", change.run);
    line.shown_if("traceparent", change.traceparent);
    branches(line, &change.branches);
}

fn enlist(line: &mut Line, change: &Enlist) {
    line.list("branches", &change.branches, branch);
    outputs(line, &change.outputs);
}

fn decide(line: &mut Line, change: &Decide) {
    line.shown("decision", change.decision);
    branches(line, &change.branches);
    outputs(line, &change.outputs);
    if let Some(cause) = &change.cause {
        line.other("cause", cause);
    }
    line.payload_if("value", change.value.as_ref());
}

fn branches(line: &mut Line, branches: &[Enlisted]) {
    if !branches.is_empty() {
        line.list("branches", branches, branch);
    }
}

fn branch(line: &mut Line, branch: &Enlisted) {
    line.number("id", branch.id.index() as u64);
    line.plain("action", branch.action.as_str());
    if branch.version != super::change::first_version() {
        line.number("version", branch.version.into());
    }
    line.payload("request", &branch.request);
    if branch.on_confirm {
        line.raw("on_confirm", "true");
    }
}

fn outputs(line: &mut Line, outputs: &[Output]) {
    if !outputs.is_empty() {
        line.list("outputs", outputs, |line, output| {
            line.number("id", output.id.index() as u64);
            line.payload("output", &output.output);
        });
    }
}

/// What a tombstone lacks is left out.
fn snapshot(line: &mut Line, record: &Record) {
    line.plain("name", record.name.as_str());
    line.shown("status", record.status);
    for (name, number) in [("begun_ms", record.begun_ms), ("timeout_ms", record.timeout_ms)] {
        if number != 0 {
            line.number(name, number);
        }
    }
    line.key(record.key.as_ref());
    line.shown_if("run", record.run);
    line.shown_if("traceparent", record.traceparent);
    line.shown_if("owner", record.owner);
    if record.claimed {
        line.raw("claimed", "true");
    }
    // The status of a plainly finished one says it already.
    line.shown_if(
        "decision",
        record.decision.filter(|decision| implied_decision(record.status) != Some(*decision)),
    );
    if let Some(cause) = &record.cause {
        line.other("cause", cause);
    }
    line.payload_if("value", record.value.as_ref());
    if !record.branches.is_empty() {
        line.other("branches", &record.branches);
    }
}

/// JSON as it grows.
struct Line {
    text: String,
    /// Nothing stands yet in the object or list that is open.
    first: bool,
}

impl Line {
    fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.text.push('{');
        self.first = true;
        fields(self);
        self.text.push('}');
        self.first = false;
    }

    fn separate(&mut self) {
        if !std::mem::replace(&mut self.first, false) {
            self.text.push(',');
        }
    }

    fn name(&mut self, name: &str) {
        self.separate();
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
    }

    fn member(&mut self, name: &str, fields: impl FnOnce(&mut Self)) {
        self.name(name);
        self.object(fields);
    }

    fn list<T>(&mut self, name: &str, items: &[T], item: impl Fn(&mut Self, &T)) {
        self.name(name);
        self.text.push('[');
        self.first = true;
        for each in items {
            self.separate();
            self.object(|line| item(line, each));
        }
        self.text.push(']');
        self.first = false;
    }

    /// What is JSON already.
    fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.text.push_str(json);
    }

    fn payload(&mut self, name: &str, json: &Json) {
        self.raw(name, json.as_str());
    }

    fn payload_if(&mut self, name: &str, json: Option<&Json>) {
        if let Some(json) = json {
            self.payload(name, json);
        }
    }

    fn number(&mut self, name: &str, number: u64) {
        self.raw(name, itoa::Buffer::new().format(number));
    }

    /// A text without a character that JSON writes otherwise, as every name is.
    fn plain(&mut self, name: &str, text: &str) {
        self.name(name);
        self.text.push('"');
        self.text.push_str(text);
        self.text.push('"');
    }

    /// An id or a word, as it is shown: without such a character as well.
    fn shown(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        // A string takes all that is written.
        let _ = write!(self.text, "\"{value}\"");
    }

    fn shown_if(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.shown(name, value);
        }
    }

    fn key(&mut self, key: Option<&Key>) {
        if let Some(key) = key {
            self.other("key", key);
        }
    }

    /// What is written seldom, or has texts of users in it.
    fn other(&mut self, name: &str, value: &impl Serialize) {
        // Text keys, plain numbers, and payloads that are JSON already: nothing of that can fail.
        self.raw(name, &serde_json::to_string(value).unwrap_or_default());
    }
}
