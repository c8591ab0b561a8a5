//! A change as a line of JSON: written by hand, field by field, for it is done four times in each transaction.
//!
//! How it is read is told in `encoding`. That the two agree is tested with random changes, and held for ever by the golden
//! logs.

use std::fmt::Write;

use serde::Serialize;

use super::change::{Begin, Change, Decide, Enlist, Enlisted, Key, Output};
use super::encoding::{FORMAT_VERSION, implied_decision};
use super::id::{Owner, Run};
use super::json::Json;
use super::record::Record;
use super::scratch;

/// What stands before the value of a field that is not the first one of its object.
macro_rules! field {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// A change as one line of JSON, in whatever keeps it.
pub(super) fn of<T: for<'a> From<&'a str>>(change: &Change) -> T {
    scratch::with(|text| {
        write(text, change);
        T::from(text)
    })
}

fn write(text: &mut String, change: &Change) {
    let mut line = Line { text, first: true };
    line.object(|line| {
        line.number(field!("v"), FORMAT_VERSION.into());
        match change {
            Change::Begin(change) => line.member(field!("begin"), |line| begin(line, change)),
            Change::Enlist(change) => line.member(field!("enlist"), |line| enlist(line, change)),
            Change::Decide(change) => line.member(field!("decide"), |line| decide(line, change)),
            Change::Settle(change) => line.other(field!("settle"), change),
            Change::Claim(change) => line.other(field!("claim"), change),
            Change::Resolve(change) => line.other(field!("resolve"), change),
            Change::Snapshot(change) => {
                line.member(field!("snapshot"), |line| snapshot(line, change.record()))
            }
        }
    });
}

fn begin(line: &mut Line<'_>, change: &Begin) {
    line.plain(field!("name"), change.name.as_str());
    line.number(field!("begun_ms"), change.begun_ms);
    line.number(field!("timeout_ms"), change.timeout_ms);
    line.hex(field!("by"), change.by.as_u64());
    line.key(change.key.as_ref());
    line.hex_if(field!("run"), change.run.map(Run::as_u64));
    line.shown_if(field!("traceparent"), change.traceparent);
    branches(line, &change.branches);
}

fn enlist(line: &mut Line<'_>, change: &Enlist) {
    line.list(field!("branches"), &change.branches, branch);
    outputs(line, &change.outputs);
}

fn decide(line: &mut Line<'_>, change: &Decide) {
    line.plain(field!("decision"), change.decision.phase().word());
    branches(line, &change.branches);
    outputs(line, &change.outputs);
    if let Some(cause) = &change.cause {
        line.other(field!("cause"), cause);
    }
    line.payload_if(field!("value"), change.value.as_ref());
}

fn branches(line: &mut Line<'_>, branches: &[Enlisted]) {
    if !branches.is_empty() {
        line.list(field!("branches"), branches, branch);
    }
}

fn branch(line: &mut Line<'_>, branch: &Enlisted) {
    line.number(field!("id"), branch.id.index() as u64);
    line.plain(field!("action"), branch.action.as_str());
    if branch.version != super::change::first_version() {
        line.number(field!("version"), branch.version.into());
    }
    line.payload(field!("request"), &branch.request);
    if branch.on_confirm {
        line.raw(field!("on_confirm"), "true");
    }
}

fn outputs(line: &mut Line<'_>, outputs: &[Output]) {
    if !outputs.is_empty() {
        line.list(field!("outputs"), outputs, |line, output| {
            line.number(field!("id"), output.id.index() as u64);
            line.payload(field!("output"), &output.output);
        });
    }
}

/// What a tombstone lacks is left out.
fn snapshot(line: &mut Line<'_>, record: &Record) {
    line.plain(field!("name"), record.name.as_str());
    line.plain(field!("status"), record.status.word());
    for (name, number) in [(field!("begun_ms"), record.begun_ms), (field!("timeout_ms"), record.timeout_ms)] {
        if number != 0 {
            line.number(name, number);
        }
    }
    line.key(record.key.as_ref());
    line.hex_if(field!("run"), record.run.map(Run::as_u64));
    line.shown_if(field!("traceparent"), record.traceparent);
    line.hex_if(field!("owner"), record.owner.map(Owner::as_u64));
    if record.claimed {
        line.raw(field!("claimed"), "true");
    }
    // The status of a plainly finished one says it already.
    line.shown_if(
        field!("decision"),
        record.decision.filter(|decision| implied_decision(record.status) != Some(*decision)),
    );
    if let Some(cause) = &record.cause {
        line.other(field!("cause"), cause);
    }
    line.payload_if(field!("value"), record.value.as_ref());
    if !record.branches.is_empty() {
        line.other(field!("branches"), &record.branches);
    }
}

/// JSON as it grows.
struct Line<'a> {
    text: &'a mut String,
    /// Nothing stands yet in the object or list that is open.
    first: bool,
}

impl Line<'_> {
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

    /// Takes a [`field!`].
    fn name(&mut self, field: &'static str) {
        let comma = usize::from(std::mem::replace(&mut self.first, false));
        self.text.push_str(&field[comma..]);
    }

    fn member(&mut self, name: &'static str, fields: impl FnOnce(&mut Self)) {
        self.name(name);
        self.object(fields);
    }

    fn list<T>(&mut self, name: &'static str, items: &[T], item: impl Fn(&mut Self, &T)) {
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
    fn raw(&mut self, name: &'static str, json: &str) {
        self.name(name);
        self.text.push_str(json);
    }

    fn payload(&mut self, name: &'static str, json: &Json) {
        self.raw(name, json.as_str());
    }

    fn payload_if(&mut self, name: &'static str, json: Option<&Json>) {
        if let Some(json) = json {
            self.payload(name, json);
        }
    }

    fn number(&mut self, name: &'static str, number: u64) {
        self.raw(name, itoa::Buffer::new().format(number));
    }

    /// A text without a character that JSON writes otherwise, as every name is.
    fn plain(&mut self, name: &'static str, text: &str) {
        self.name(name);
        self.text.push('"');
        self.text.push_str(text);
        self.text.push('"');
    }

    /// A number in sixteen hexadecimal digits.
    fn hex(&mut self, name: &'static str, number: u64) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = *b"\"0000000000000000\"";
        for (place, digit) in text[1..17].iter_mut().rev().enumerate() {
            *digit = DIGITS[(number >> (4 * place)) as usize & 15];
        }
        self.name(name);
        self.text.push_str(std::str::from_utf8(&text).expect("digits are text"));
    }

    fn hex_if(&mut self, name: &'static str, number: Option<u64>) {
        if let Some(number) = number {
            self.hex(name, number);
        }
    }

    /// An id or a word, as it is shown: without such a character as well.
    fn shown_if(&mut self, name: &'static str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.name(name);
            // A string takes all that is written.
            let _ = write!(self.text, "\"{value}\"");
        }
    }

    fn key(&mut self, key: Option<&Key>) {
        if let Some(key) = key {
            self.other(field!("key"), key);
        }
    }

    /// What is written seldom, or has texts of users in it.
    fn other(&mut self, name: &'static str, value: &impl Serialize) {
        // Text keys, plain numbers, and payloads that are JSON already: nothing of that can fail.
        self.raw(name, &serde_json::to_string(value).unwrap_or_default());
    }
}
