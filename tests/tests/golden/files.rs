//! The files: reading them, holding them to their list, and putting them into a store.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tcc_core::protocol::{Change, Entry, Group, Log, Position, TxId};
use tcc_core::store::{Append, Due, Mode, Retain, StatusStore};

/// Longer than this code is in use.
const FOR_GOOD: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A log that was stored, and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) id: TxId,
    pub(crate) log: Log,
}

/// The folder of all of them.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// The file of this path in the folder.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(folder().join(path)).unwrap_or_else(|error| panic!("golden/{path}: {error}"))
}

/// Holds `text` against a file; writes the file if it is missing and to be written.
pub(crate) fn hold(path: &str, text: &str) {
    let file = folder().join(path);
    if !file.exists() {
        assert!(blessing(), "golden/{path} is missing; TCC_GOLDEN_BLESS=1 writes it:\n{text}");
        fs::write(file, text).unwrap();
    }
    let stored = read(path);
    for (number, (stored, now)) in stored.lines().zip(text.lines()).enumerate() {
        assert_eq!(now, stored, "golden/{path}, line {}: mend the code, never the file", number + 1);
    }
    assert_eq!(text.len(), stored.len(), "golden/{path} is longer or shorter: mend the code, never the file");
}

pub(crate) fn blessing() -> bool {
    std::env::var("TCC_GOLDEN_BLESS").is_ok_and(|value| value == "1")
}

/// The logs in a folder, by name.
pub(crate) fn logs(folder: &str) -> Vec<Golden> {
    let ids = read(&format!("{folder}/ids.txt"));
    let of = |line: &str| {
        let (id, name) = line.split_once(' ').expect("an id and a name");
        let log = parse(&read(&format!("{folder}/{name}.log")));
        Golden { name: name.to_owned(), id: id.parse().expect("an id"), log }
    };
    let mut logs: Vec<Golden> = ids.lines().map(of).collect();
    logs.sort_by(|a, b| a.name.cmp(&b.name));
    let files = fs::read_dir(self::folder().join(folder)).unwrap();
    let files =
        files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "log"));
    assert_eq!(files.count(), logs.len(), "each log has its line in golden/{folder}/ids.txt");
    logs
}

/// An entry a line: its text, how many entries there were so far, and its op.
fn parse(text: &str) -> Log {
    let mut entries = Vec::new();
    let mut appended = 0;
    for line in text.strip_suffix('\n').expect("whole lines").split('\n') {
        let (line, op) = line.rsplit_once(' ').expect("an op");
        let (line, count) = line.rsplit_once(' ').expect("a number");
        let count = u32::from_str_radix(count, 16).expect("a number");
        assert!(appended == 0 || count == appended + 1, "numbers follow each other");
        appended = count;
        entries.push(Entry::new(op.parse().expect("an op"), line).expect("one line"));
    }
    Log::new(entries, appended).expect("a log")
}

/// Puts logs into a store by its own `append`, as a coordinator would have: what is unfinished is due.
pub(crate) async fn append(store: &dyn StatusStore, group: &Group, logs: &[Golden]) {
    for Golden { name, id, log } in logs {
        let first = log.position().entries - log.entries().len() as u32 + 1;
        let mut after = Position::START;
        let mut write = async |entry: Entry, due, mode| {
            let append = Append { group: group.clone(), id: *id, after, entry, due, mode };
            store.append(&append).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            after = after.then(append.entry.op());
        };
        // What a snapshot took the place of.
        for number in 1..first {
            let mode = if number == 1 { Mode::Extend } else { Mode::Replace };
            let gone = Entry::new(tcc_core::protocol::Op::from_u64(number.into()), "gone").unwrap();
            write(gone, Due::In(FOR_GOOD), mode).await;
        }
        for (number, entry) in log.entries().iter().enumerate() {
            let mode = if number == 0 && first > 1 { Mode::Replace } else { Mode::Extend };
            let last = number + 1 == log.entries().len();
            write(entry.clone(), if last { due(name) } else { Due::In(FOR_GOOD) }, mode).await;
        }
        assert_eq!(after, log.position(), "{name}");
        assert_eq!(store.read(group, *id).await.unwrap().as_ref(), Some(log), "{name}: as it was written");
    }
}

fn due(name: &str) -> Due {
    let starts = |with: &str| name.starts_with(with);
    if starts("tombstone") || starts("resolved") {
        Due::Never { retain: Retain::For(FOR_GOOD) }
    } else if starts("heuristic") || starts("snapshot_heuristic") {
        Due::Never { retain: Retain::Forever }
    } else {
        Due::In(Duration::ZERO)
    }
}

/// What is written today is what was written then: byte by byte, and read as the same.
#[test]
fn every_line_of_format_1_is_written_today_as_it_was() {
    let logs = logs("logs/v1");
    assert!(logs.len() >= 58, "{} logs", logs.len());
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    for Golden { name, log, .. } in &logs {
        for entry in log.entries() {
            let change = Change::decode(entry.line()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(change.encode(), entry.line(), "{name}");
            assert!(!change.to_string().contains(['\n', '\r', '\u{2028}']), "{name}: {change}");
            *kinds.entry(change.kind()).or_default() += 1;
        }
    }
    let all = ["begin", "claim", "decide", "enlist", "resolve", "settle", "snapshot"];
    assert_eq!(
        kinds.keys().copied().collect::<Vec<_>>(),
        all,
        "every kind of change is among them: {kinds:?}"
    );
}

/// A stored file is never changed.
#[test]
fn no_stored_file_is_changed() {
    let mut sums: BTreeMap<String, String> = BTreeMap::new();
    let mut folders = vec![folder()];
    while let Some(folder) = folders.pop() {
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let name = path.strip_prefix(self::folder()).unwrap().to_str().unwrap().replace('\\', "/");
            if path.is_dir() {
                folders.push(path);
            } else if !matches!(&*name, "README.md" | "SHA256SUMS" | ".gitattributes") {
                let digest = Sha256::digest(fs::read(path).unwrap());
                let mut sum = String::new();
                digest.iter().for_each(|byte| write!(sum, "{byte:02x}").unwrap());
                sums.insert(name, sum);
            }
        }
    }
    let listed: BTreeMap<String, String> = read("SHA256SUMS")
        .lines()
        .map(|line| line.split_once("  ").expect("as sha256sum writes it"))
        .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
        .collect();
    for (name, sum) in &listed {
        assert_eq!(
            sums.get(name),
            Some(sum),
            "golden/{name} was changed or removed. It is what a released version has written, and stays as it is; \
             `git checkout` it and mend the code"
        );
    }
    let new: Vec<(&String, &String)> = sums.iter().filter(|(name, _)| !listed.contains_key(*name)).collect();
    if blessing() {
        let lines: String = sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
        fs::write(folder().join("SHA256SUMS"), lines).unwrap();
    } else {
        assert!(new.is_empty(), "not in golden/SHA256SUMS yet: {new:?}; TCC_GOLDEN_BLESS=1 adds them");
    }
    assert!(!listed.is_empty() || blessing(), "the list is empty");
}
