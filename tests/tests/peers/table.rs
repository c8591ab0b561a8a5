//! PEERS.md is held by tests that are named after its numbers: none goes missing, and `tests/PEERS.md` names what there is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The numbers whose test is a function.
const RUN: [u8; 33] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 26, 27, 28, 29, 30,
    33, 34, 36, 37, 38,
];

/// The numbers whose test is code that must not compile.
const COMPILE: [u8; 2] = [24, 25];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above").to_owned()
}

/// All Rust files of the workspace, relative to it. Not what was built, and nothing hidden.
fn sources() -> Vec<PathBuf> {
    let (root, mut found) = (root(), Vec::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if name.ends_with(".rs") {
                found.push(path.strip_prefix(&root).unwrap().to_owned());
            }
        }
    }
    found
}

/// The tests of a file that are named after a number.
fn tests_in(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
    let mut attribute = false;
    let mut tests = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        if let Some((_, rest)) = line.split_once("fn peers_") {
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if attribute && !line.starts_with("//") {
                tests.insert(format!("peers_{name}"));
            }
        }
        // What stands between the attribute and its function are other attributes.
        attribute = line.starts_with("#[test]")
            || line.starts_with("#[tokio::test")
            || attribute && line.starts_with("#[");
    }
    tests
}

/// The number in a test's name: two digits.
fn number(test: &str) -> Option<u8> {
    let (digits, _) = test.strip_prefix("peers_")?.split_once('_')?;
    (digits.len() == 2).then(|| digits.parse().ok())?
}

/// The rows of `tests/PEERS.md`: a number, and the cell that names its tests. A row without a number goes on with the one
/// before.
fn rows() -> Vec<(u8, String)> {
    let text = std::fs::read_to_string(root().join("tests/PEERS.md")).unwrap();
    let mut number = None;
    let mut row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
        number = cells[0].parse().ok().or(number.filter(|_| cells[0].is_empty()));
        Some((number?, cells[2].to_owned()))
    };
    text.lines().filter_map(&mut row).collect()
}

#[test]
fn every_number_has_a_test() {
    let tests: Vec<String> = sources().iter().flat_map(|file| tests_in(file)).collect();
    for test in &tests {
        assert!(
            number(test).is_some(),
            "{test}: write the number with two digits, `peers_07_what_must_hold`"
        );
    }
    let numbers: BTreeSet<u8> = tests.iter().filter_map(|test| number(test)).collect();
    let missing: Vec<_> = RUN.iter().filter(|number| !numbers.contains(number)).collect();
    assert!(missing.is_empty(), "no test is named after {missing:?}");
}

#[test]
fn every_row_names_tests_that_exist() {
    let rows = rows();
    let mut with_test = BTreeSet::new();
    for (row, cell) in rows {
        let quoted: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        let mut file = None;
        for name in quoted {
            if name.ends_with(".rs") {
                file = Some(Path::new(name));
                assert!(root().join(name).is_file(), "{row}: there is no file {name}");
            } else if name.starts_with("peers_") {
                let file = file.unwrap_or_else(|| panic!("{row}: name the file of {name} before it"));
                assert!(
                    tests_in(file).contains(name),
                    "{row}: there is no test {name} in {}",
                    file.display()
                );
                assert_eq!(number(name), Some(row), "{name} is named in another row");
                with_test.insert(row);
            }
        }
    }
    let without: Vec<_> = RUN.iter().filter(|number| !with_test.contains(number)).collect();
    assert!(without.is_empty(), "the rows of {without:?} name no test");
}

#[test]
fn what_must_not_compile_has_a_case() {
    let sources = sources();
    for number in COMPILE {
        let prefix = format!("peers_{number:02}_");
        let case = |file: &&PathBuf| {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            file.starts_with("tests/compile-fail/cases") && name.starts_with(&prefix)
        };
        let cases: Vec<_> = sources.iter().filter(case).collect();
        assert!(!cases.is_empty(), "no case of tests/compile-fail is named after {number}");
        for case in cases {
            let answer = root().join(case).with_extension("stderr");
            assert!(answer.is_file(), "{}: what the compiler says to it is not kept", case.display());
        }
    }
}
