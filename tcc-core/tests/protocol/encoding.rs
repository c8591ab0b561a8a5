//! Changes as text.

use proptest::prelude::*;
use serde_json::Value;
use tcc_core::protocol::*;

use crate::arbitrary::{history, legal, step, text};

proptest! {
    /// Every change is one line, and reads back as it was.
    #[test]
    fn every_change_reads_back(history in history(), step in step()) {
        let (mut changes, record) = legal(&history);
        changes.extend([step.wild(), Change::Snapshot(record.snapshot())]);
        for change in &changes {
            let line = change.encode();
            let read = Change::decode(&line);
            prop_assert_eq!(read.as_ref(), Ok(change), "{}", line);
            prop_assert!(Entry::new(Op::from_u64(1), line).is_ok());
        }
        if record.status().is_finished() {
            let tombstone = Change::Snapshot(record.tombstone());
            prop_assert_eq!(Change::decode(&tombstone.encode()), Ok(tombstone));
        }
    }

    /// Any text is a change or an error.
    #[test]
    fn any_text_is_read_or_refused(text in text()) {
        let _ = Change::decode(&text);
        let _ = Change::decode(&format!("{{\"v\":1,\"claim\":{text}}}"));
        let _ = Change::decode(&format!("{{\"v\":1,\"snapshot\":{{\"name\":\"{text}\",\"status\":\"trying\"}}}}"));
    }

    /// A line with something cut, doubled or changed is another change or an error; what is read is again written.
    #[test]
    fn a_damaged_line_is_read_or_refused(
        history in history(), which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
        damage in 0..4, byte in any::<u8>(),
    ) {
        let (changes, record) = legal(&history);
        let mut lines: Vec<String> = changes.iter().map(Change::encode).collect();
        lines.push(Change::Snapshot(record.snapshot()).encode());
        let mut bytes = lines[which.index(lines.len())].clone().into_bytes();
        let at = at.index(bytes.len());
        match damage {
            0 => bytes.truncate(at),
            1 => bytes[at] = byte,
            2 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
        if let Ok(change) = Change::decode(&String::from_utf8_lossy(&bytes)) {
            prop_assert_eq!(Change::decode(&change.encode()), Ok(change));
        }
    }

    /// Something unknown, at whatever depth of our own making, is never passed over.
    #[test]
    fn an_unknown_field_is_an_error(history in history(), which in any::<prop::sample::Index>()) {
        let (changes, record) = legal(&history);
        let snapshot = Change::Snapshot(record.snapshot());
        for change in changes.iter().chain([&snapshot]) {
            let mut line: Value = serde_json::from_str(&change.encode()).unwrap();
            let mut objects = Vec::new();
            ours(&mut line, &mut String::new(), &mut objects);
            let path = &objects[which.index(objects.len())];
            let object = line.pointer_mut(path).unwrap().as_object_mut().unwrap();
            object.insert("unheard_of".into(), Value::Bool(true));
            let answer = Change::decode(&line.to_string());
            prop_assert!(matches!(answer, Err(MalformedEntry::Shape { .. })), "{}: {:?}", line, answer);
        }
    }
}

/// The places of all objects that are ours, not the user's.
fn ours(value: &mut Value, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    match value {
        Value::Object(fields) => {
            found.push(path.clone());
            for (name, field) in fields.iter_mut() {
                if !matches!(name.as_str(), "request" | "output" | "value") {
                    path.push('/');
                    path.push_str(name);
                    ours(field, path, found);
                    path.truncate(length);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push_str(&format!("/{index}"));
                ours(item, path, found);
                path.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

const OWNER: &str = "00000000000000ff";

/// The format as it is kept by whoever used this release: these lines are read for ever.
fn golden() -> Vec<(String, Change)> {
    let by = Owner::from_u64(255);
    let name = Name::new("checkout").unwrap();
    let action = ActionName::new("inventory.reserve").unwrap();
    let id = BranchId::new(0);
    let request = Json::of(&serde_json::json!({"sku": "tea"})).unwrap();
    let branch =
        Enlisted { id, action: action.clone(), version: 1, request: request.clone(), on_confirm: false };
    let output = Output { id, output: Json::of(&17).unwrap() };
    let begin = Begin {
        name,
        begun_ms: 1_790_000_000_000,
        timeout_ms: 30_000,
        by,
        key: Some(Key { text: "order-1".into(), request: "c0ffee".into() }),
        run: Some(Run::from_u64(254)),
        traceparent: None,
        branches: vec![branch.clone()],
    };
    let decide = Decide {
        decision: Decision::Confirm,
        branches: vec![],
        outputs: vec![output.clone()],
        cause: None,
        value: Some(Json::of("thanks").unwrap()),
    };
    let cancel = Decide {
        decision: Decision::Cancel,
        branches: vec![],
        outputs: vec![],
        cause: Some(Cause::TimedOut),
        value: None,
    };
    let operator = Cause::Operator { who: "ada".into(), why: "by phone".into() };
    let refuse = Settled { id, phase: Decision::Cancel, verdict: Verdict::Refused("gone".into()) };
    let done = Settled { id, phase: Decision::Confirm, verdict: Verdict::Done };
    let traced = Begin {
        key: None,
        run: None,
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap()),
        branches: vec![],
        ..begin.clone()
    };
    let traced_snapshot = Record::begin(&traced).unwrap().snapshot();
    let mut record = Record::begin(&begin).unwrap();
    record.apply(&Change::Decide(decide.clone())).unwrap();
    let confirming = record.snapshot();
    let settle = Change::Settle(Settle { settled: vec![done.clone()], failed: vec![] });
    record.apply(&settle).unwrap();
    let second = Enlisted { id: BranchId::new(1), version: 2, on_confirm: true, ..branch };
    let failed = Failed { id, attempts: 3, error: "timed out".into() };
    let line = |rest: &str| format!("{{\"v\":1,{}}}", rest.replace("OWNER", OWNER));
    vec![
        (
            line(
                r#""begin":{"name":"checkout","begun_ms":1790000000000,"timeout_ms":30000,"by":"OWNER","key":{"text":"order-1","request":"c0ffee"},"run":"00000000000000fe","branches":[{"id":0,"action":"inventory.reserve","request":{"sku":"tea"}}]}"#,
            ),
            Change::Begin(begin),
        ),
        (
            line(
                r#""enlist":{"branches":[{"id":1,"action":"inventory.reserve","version":2,"request":{"sku":"tea"},"on_confirm":true}],"outputs":[{"id":0,"output":17}]}"#,
            ),
            Change::Enlist(Enlist { branches: vec![second.clone()], outputs: vec![output] }),
        ),
        (
            line(r#""decide":{"decision":"confirm","outputs":[{"id":0,"output":17}],"value":"thanks"}"#),
            Change::Decide(decide),
        ),
        (
            line(
                r#""decide":{"decision":"confirm","branches":[{"id":1,"action":"inventory.reserve","version":2,"request":{"sku":"tea"},"on_confirm":true}]}"#,
            ),
            Change::Decide(Decide {
                decision: Decision::Confirm,
                branches: vec![second.clone()],
                outputs: vec![],
                cause: None,
                value: None,
            }),
        ),
        (line(r#""decide":{"decision":"cancel","cause":"timed_out"}"#), Change::Decide(cancel.clone())),
        (
            line(r#""decide":{"decision":"cancel","cause":{"operator":{"who":"ada","why":"by phone"}}}"#),
            Change::Decide(Decide { cause: Some(operator), ..cancel }),
        ),
        (line(r#""settle":{"settled":[{"id":0,"phase":"confirm"}]}"#), settle),
        (
            line(r#""settle":{"settled":[{"id":0,"phase":"cancel","verdict":{"refused":"gone"}}]}"#),
            Change::Settle(Settle { settled: vec![refuse], failed: vec![] }),
        ),
        (
            line(r#""settle":{"failed":[{"id":0,"attempts":3,"error":"timed out"}]}"#),
            Change::Settle(Settle { settled: vec![], failed: vec![failed] }),
        ),
        (line(r#""claim":{"by":"OWNER"}"#), Change::Claim(Claim { by })),
        (
            line(r#""resolve":{"id":0,"who":"ada","why":"refunded by hand"}"#),
            Change::Resolve(Resolve { id, who: "ada".into(), why: "refunded by hand".into() }),
        ),
        (
            line(
                r#""snapshot":{"name":"checkout","status":"confirming","begun_ms":1790000000000,"timeout_ms":30000,"key":{"text":"order-1","request":"c0ffee"},"run":"00000000000000fe","owner":"OWNER","value":"thanks","branches":[{"id":0,"action":"inventory.reserve","request":{"sku":"tea"},"output":17,"state":"acknowledged"}]}"#,
            ),
            Change::Snapshot(confirming),
        ),
        (
            line(
                r#""snapshot":{"name":"checkout","status":"confirmed","key":{"text":"order-1","request":"c0ffee"},"run":"00000000000000fe","value":"thanks"}"#,
            ),
            Change::Snapshot(record.tombstone()),
        ),
        (
            line(
                r#""begin":{"name":"checkout","begun_ms":1790000000000,"timeout_ms":30000,"by":"OWNER","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#,
            ),
            Change::Begin(traced),
        ),
        (
            line(
                r#""snapshot":{"name":"checkout","status":"trying","begun_ms":1790000000000,"timeout_ms":30000,"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","owner":"OWNER"}"#,
            ),
            Change::Snapshot(traced_snapshot),
        ),
    ]
}

#[test]
fn the_format_stays_as_it_is() {
    for (line, change) in golden() {
        assert_eq!(change.encode(), line);
        assert_eq!(Change::decode(&line), Ok(change), "{line}");
    }
}

/// It is of use while there is something to settle, and what is finished is kept small.
#[test]
fn a_traceparent_outlives_a_snapshot_and_no_tombstone() {
    let traceparent = TraceParent::new(7, 8, 1).unwrap();
    let name = Name::new("checkout").unwrap();
    let begin = Begin {
        name,
        begun_ms: 1,
        timeout_ms: 1,
        by: Owner::from_u64(1),
        key: None,
        run: None,
        traceparent: Some(traceparent),
        branches: vec![],
    };
    let mut record = Record::begin(&begin).unwrap();
    record.apply(&Change::Claim(Claim { by: Owner::from_u64(2) })).unwrap();
    let Ok(Change::Snapshot(read)) = Change::decode(&Change::Snapshot(record.snapshot()).encode()) else {
        panic!("a snapshot reads back");
    };
    assert_eq!(read.record().traceparent(), Some(traceparent));
    assert_eq!(record.tombstone().record().traceparent(), None);
}

#[test]
fn a_malformed_traceparent_is_an_error() {
    for wrong in ["", "00", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
        let line = format!(
            r#"{{"v":1,"begin":{{"name":"x","begun_ms":1,"timeout_ms":1,"by":"{OWNER}","traceparent":"{wrong}"}}}}"#
        );
        assert!(matches!(Change::decode(&line), Err(MalformedEntry::Shape { .. })), "{line}");
    }
}

#[test]
fn another_version_is_named() {
    for (line, _) in golden() {
        let newer = line.replacen("\"v\":1", "\"v\":2", 1);
        assert_eq!(Change::decode(&newer), Err(MalformedEntry::Version { found: 2 }));
        let unversioned = line.replacen("\"v\":1,", "", 1);
        assert!(matches!(Change::decode(&unversioned), Err(MalformedEntry::Shape { .. })), "{unversioned}");
    }
    // Also when nothing else of it can be understood.
    assert_eq!(Change::decode(r#"{"v":7,"merge":{}}"#), Err(MalformedEntry::Version { found: 7 }));
    assert!(matches!(Change::decode(r#"{"v":1,"merge":{}}"#), Err(MalformedEntry::Shape { .. })));
}

#[test]
fn a_line_is_one_change() {
    let lines: Vec<String> = golden().into_iter().map(|(line, _)| line).collect();
    for one in &lines {
        for other in &lines {
            let both = format!(
                "{},{}",
                one.trim_end_matches('}').to_owned() + &"}".repeat(closing(one) - 1),
                &other[7..]
            );
            assert!(matches!(Change::decode(&both), Err(MalformedEntry::Shape { .. })), "{both}");
        }
    }
    for none in [r#"{"v":1}"#, "{}", "", "null", "[]", "1", r#""begin""#] {
        assert!(matches!(Change::decode(none), Err(MalformedEntry::Shape { .. })), "{none}");
    }
}

fn closing(line: &str) -> usize {
    line.len() - line.trim_end_matches('}').len()
}

#[test]
fn a_snapshot_must_agree_with_itself() {
    let branch =
        |state: &str, more: &str| format!(r#"{{"id":0,"action":"a.b","request":1,"state":{state}{more}}}"#);
    let output = r#","output":1"#;
    let refused = r#"{"refused":{"phase":"confirm","why":"no"}}"#;
    let refused_cancel = r#"{"refused":{"phase":"cancel","why":"no"}}"#;
    let snapshot = |status: &str, rest: &str, branch: &str| {
        format!(r#"{{"v":1,"snapshot":{{"name":"x","status":"{status}"{rest},"branches":[{branch}]}}}}"#)
    };
    let confirm = r#","decision":"confirm""#;
    let cancel = r#","decision":"cancel""#;
    for sound in [
        snapshot("trying", "", &branch("\"trying\"", "")),
        snapshot("trying", "", &branch("\"acknowledged\"", output)),
        snapshot("trying", "", &branch("\"acknowledged\"", r#","on_confirm":true"#)),
        snapshot("confirming", "", &branch("\"acknowledged\"", output)),
        snapshot("confirming", "", &branch("\"trying\"", "")),
        snapshot("cancelling", "", &branch("\"trying\"", "")),
        snapshot("confirmed", "", &branch("\"confirmed\"", output)),
        snapshot("confirmed", "", &branch("\"cancelled\"", "")),
        snapshot("cancelled", "", &branch("\"cancelled\"", output)),
        snapshot("heuristic", confirm, &branch(refused, output)),
        snapshot("heuristic", confirm, &branch(refused_cancel, "")),
        snapshot("heuristic", cancel, &branch(refused_cancel, output)),
    ] {
        assert!(Change::decode(&sound).is_ok(), "{sound}: {:?}", Change::decode(&sound));
    }
    for unsound in [
        // A decision that its status does not have, or lacks.
        snapshot("trying", confirm, &branch("\"trying\"", "")),
        snapshot("confirming", cancel, &branch("\"acknowledged\"", output)),
        snapshot("cancelled", confirm, &branch("\"cancelled\"", output)),
        snapshot("heuristic", "", &branch(refused, output)),
        // Settled before it was decided.
        snapshot("trying", "", &branch("\"confirmed\"", output)),
        snapshot("trying", "", &branch("\"cancelled\"", "")),
        snapshot("trying", "", &branch(refused, output)),
        // Nothing is left to be done, or something is.
        snapshot("confirming", "", &branch("\"confirmed\"", output)),
        snapshot("cancelling", "", &branch("\"cancelled\"", "")),
        snapshot("confirmed", "", &branch("\"acknowledged\"", output)),
        snapshot("cancelled", "", &branch("\"trying\"", "")),
        // A refusal is passed over, or made up.
        snapshot("confirmed", "", &branch(refused, output)),
        snapshot("cancelled", "", &branch(refused_cancel, output)),
        snapshot("heuristic", confirm, &branch("\"confirmed\"", output)),
        snapshot("heuristic", confirm, &branch("\"acknowledged\"", output)),
        // The other phase than the decided one.
        snapshot("cancelled", "", &branch("\"confirmed\"", output)),
        snapshot("heuristic", cancel, &branch(refused, output)),
        snapshot("confirmed", "", &branch("\"confirmed\"", "")),
        snapshot("confirmed", "", &branch("\"cancelled\"", output)),
        // Acknowledged without an output, and the reverse.
        snapshot("trying", "", &branch("\"acknowledged\"", "")),
        snapshot("trying", "", &branch("\"trying\"", output)),
        // A branch that is not where its number says.
        snapshot("trying", "", &branch("\"trying\"", "").replace("\"id\":0", "\"id\":1")),
    ] {
        assert!(matches!(Change::decode(&unsound), Err(MalformedEntry::Shape { .. })), "{unsound}");
    }
}

/// `()` is a value: what a try or a body returns may be nothing, and that is not the same as no answer.
#[test]
fn an_output_of_nothing_is_an_output() {
    let nothing = Json::of(&()).unwrap();
    let decide = Change::Decide(Decide {
        decision: Decision::Confirm,
        branches: vec![],
        outputs: vec![],
        cause: None,
        value: Some(nothing.clone()),
    });
    assert_eq!(Change::decode(&decide.encode()), Ok(decide));
}

/// A user's payload may hold JSON text of her own, with line breaks between its parts.
#[test]
fn a_payload_with_line_breaks_is_one_line() {
    let raw =
        serde_json::value::RawValue::from_string("{\r\n  \"a\": [1,\n2],\n  \"b\": \"x\\ny\"\n}".into())
            .unwrap();
    let json = Json::of(&raw).unwrap();
    assert!(!json.as_str().contains(['\n', '\r']), "{:?}", json.as_str());
    assert_eq!(json.to::<Value>().unwrap(), serde_json::json!({"a": [1, 2], "b": "x\ny"}));
    let change = Change::Enlist(Enlist {
        branches: vec![],
        outputs: vec![Output { id: BranchId::new(0), output: json }],
    });
    assert_eq!(Change::decode(&change.encode()), Ok(change.clone()));
    assert!(Entry::new(Op::from_u64(1), change.encode()).is_ok());
}

#[test]
fn a_deep_payload_does_not_overflow() {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let line = format!(r#"{{"v":1,"decide":{{"decision":"confirm","value":{deep}}}}}"#);
    let change = Change::decode(&line).unwrap();
    assert_eq!(change.encode(), line);
}
