//! What is said to a user, and what every such sentence must keep.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

/// Every password in these tests has this in it.
pub(crate) const SECRET: &str = "hush";

/// Nothing here takes so long: what does, hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits, but not for ever.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it hangs")
}

/// Takes the error of a case for the table: it must have all these words in it.
#[track_caller]
pub(crate) fn said(case: &str, error: impl Into<Box<dyn Error + Send + Sync>>, words: &[&str]) -> String {
    let error = error.into();
    let debug = format!("{error:?}");
    assert!(!debug.contains(SECRET), "{case}: a secret: {debug}");
    told(case, &chain(&*error), words)
}

/// The same, of a text: a warning, a row of a list.
#[track_caller]
pub(crate) fn told(case: &str, text: &str, words: &[&str]) -> String {
    row(case, text);
    for word in words {
        assert!(text.contains(word), "{case}: {word:?} is not in {text:?}");
    }
    assert!(!text.contains(SECRET), "{case}: a secret: {text}");
    assert!(!text.contains('\n'), "{case}: more than a line: {text}");
    assert!(text.chars().count() <= 420, "{case}: nobody reads that: {text}");
    for code in ["Some(", "Err(", "Ok(", "ErrorKind", "::Error", " { ", "  ", "; ;", "(os error"] {
        assert!(!text.contains(code), "{case}: {code:?} is for programmers: {text}");
    }
    assert!(!text.ends_with('.') && !text.ends_with(' '), "{case}: {text}");
    says_nothing_twice(case, text);
    text.to_owned()
}

/// No five words in a row come again: then a cause was repeated.
#[track_caller]
fn says_nothing_twice(case: &str, text: &str) {
    let words: Vec<&str> = text.split(' ').collect();
    let runs: Vec<&[&str]> = words.windows(5).collect();
    for (number, run) in runs.iter().enumerate() {
        assert!(!runs[number + 1..].contains(run), "{case}: {run:?} is said twice: {text}");
    }
}

#[expect(clippy::print_stdout, reason = "the table; the test harness shows it with --nocapture")]
fn row(case: &str, text: &str) {
    println!("| {case} | {text} |");
}

/// An error with its causes, as `anyhow` and its like print it: nothing of it is left out, and nothing made nicer.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
