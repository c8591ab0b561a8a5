//! What a full run has brought so far: `results.jsonl`, one line about the machine and one for each step.
//!
//! A step is written as soon as it has ended, so a run that is cut off loses nothing but the step that it was at.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::report::Report;

/// The file of it.
pub(crate) const FILE: &str = "results.jsonl";

/// What a run has brought.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Results {
    pub(crate) about: About,
    pub(crate) steps: Vec<Step>,
}

/// What it was run on, and which code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) commit: String,
    pub(crate) date: String,
    pub(crate) cpu: String,
    pub(crate) cores: String,
    pub(crate) memory: String,
    pub(crate) kernel: String,
    pub(crate) redis: String,
    pub(crate) rust: String,
    /// Before the run.
    pub(crate) load: String,
}

/// One command of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// As it would be called by itself.
    pub(crate) command: String,
    pub(crate) seconds: f64,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
    pub(crate) reports: Vec<Report>,
}

impl Results {
    /// Begins anew: nothing is left of what was in the folder.
    pub(crate) fn begin(folder: &Path, about: About) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        std::fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
        let mut file = File::create(&path).with_context(|| format!("{} can't be written", path.display()))?;
        line(&mut file, &about).with_context(|| format!("{} can't be written", path.display()))?;
        Ok(Self { about, steps: Vec::new() })
    }

    /// What is in the folder. A line that was cut off is left out.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{} can't be read: run `all` first, which writes it", path.display()))?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut lines = whole.lines();
        let about = lines.next().with_context(|| format!("{} is empty", path.display()))?;
        let about = serde_json::from_str(about).with_context(|| format!("line 1 of {}", path.display()))?;
        let step = |(number, text)| {
            serde_json::from_str(text).with_context(|| format!("line {} of {}", number + 2, path.display()))
        };
        Ok(Self { about, steps: lines.enumerate().map(step).collect::<Result<_, _>>()? })
    }

    /// What is in the folder, to go on with: of the same code, and without the steps that failed.
    pub(crate) fn resume(folder: &Path, about: &About) -> anyhow::Result<Self> {
        let mut before = Self::read(folder)?;
        ensure!(
            before.about.commit == about.commit,
            "the results in {} are of {}, and this is {}: run `all` without --resume",
            folder.display(),
            before.about.commit,
            about.commit
        );
        before.steps.retain(|step| step.failure.is_none());
        let mut results = Self::begin(folder, before.about)?;
        before.steps.into_iter().try_for_each(|step| results.add(folder, step))?;
        Ok(results)
    }

    pub(crate) fn add(&mut self, folder: &Path, step: Step) -> anyhow::Result<()> {
        let path = folder.join(FILE);
        let file = OpenOptions::new().append(true).open(&path);
        file.map_err(anyhow::Error::from)
            .and_then(|mut file| line(&mut file, &step))
            .with_context(|| format!("{} can't be written", path.display()))?;
        self.steps.push(step);
        Ok(())
    }

    pub(crate) fn has(&self, command: &str) -> bool {
        self.steps.iter().any(|step| step.command == command)
    }

    pub(crate) fn reports(&self) -> impl Iterator<Item = &Report> {
        self.steps.iter().flat_map(|step| &step.reports)
    }
}

fn line(file: &mut File, value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string(value)?;
    text.push('\n');
    file.write_all(text.as_bytes())?;
    Ok(file.sync_data()?)
}

impl About {
    /// This machine, now.
    pub(crate) fn here() -> Self {
        let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let find = |text: &str, name: &str| {
            let found = text.lines().find(|line| line.starts_with(name));
            found.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_else(unknown)
        };
        Self {
            commit: commit(),
            date: said_by("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            cpu: find(&file("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or_else(|_| unknown(), |cores| cores.to_string()),
            memory: find(&file("/proc/meminfo"), "MemTotal"),
            kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
            redis: said_by("redis-server", &["--version"]),
            rust: said_by("rustc", &["--version"]),
            load: load_average(),
        }
    }
}

/// The first of the load averages: that of the last minute.
pub(crate) fn load_average() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().next().map_or_else(unknown, str::to_owned)
}

/// The commit, and whether anything but results differs from it.
fn commit() -> String {
    let changes = [
        "status",
        "--porcelain",
        "--",
        ":/",
        ":(top,exclude)benches/RESULTS.md",
        ":(top,exclude)benches/results.jsonl",
        ":(top,exclude)benches/plots",
    ];
    let commit = said_by("git", &["rev-parse", "--short=12", "HEAD"]);
    if said_by("git", &changes).is_empty() { commit } else { format!("{commit} with changes") }
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map_or_else(|_| unknown(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn unknown() -> String {
    "unknown".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(command: &str, failure: Option<&str>) -> Step {
        let mut report = Report::new("redis", "a test");
        report.add("ours", vec![[("tx/s".to_owned(), 1.5)].into_iter().collect()]);
        let failure = failure.map(str::to_owned);
        Step { command: command.to_owned(), seconds: 1.25, failure, reports: vec![report] }
    }

    #[test]
    fn a_run_goes_on_where_it_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let about = About::here();
        let mut results = Results::begin(folder.path(), about.clone()).unwrap();
        results.add(folder.path(), step("redis", None)).unwrap();
        results.add(folder.path(), step("memory", Some("no memory"))).unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(Results::read(folder.path()).unwrap(), results);
        // In the middle of the third.
        let text = std::fs::read_to_string(&path).unwrap() + r#"{"command":"sqli"#;
        std::fs::write(&path, text).unwrap();
        let mut resumed = Results::resume(folder.path(), &about).unwrap();
        assert!(resumed.has("redis") && !resumed.has("memory") && !resumed.has("sqlite"));
        resumed.add(folder.path(), step("memory", None)).unwrap();
        assert_eq!(Results::read(folder.path()).unwrap(), resumed);
        assert_eq!(resumed.reports().count(), 2);
    }

    #[test]
    fn results_of_other_code_are_not_mixed_with_those_of_this() {
        let folder = tempfile::tempdir().unwrap();
        let about = About::here();
        Results::begin(folder.path(), About { commit: "another".into(), ..about.clone() }).unwrap();
        let error = Results::resume(folder.path(), &about).unwrap_err().to_string();
        assert!(error.contains("are of another"), "{error}");
        Results::begin(folder.path(), about.clone()).unwrap();
        Results::resume(folder.path(), &about).unwrap();
    }

    #[test]
    fn the_machine_is_described() {
        let About { commit, date, cpu, cores, memory, kernel, redis, rust, load } = About::here();
        for (what, said) in [
            ("commit", commit),
            ("date", date),
            ("CPU", cpu),
            ("cores", cores),
            ("memory", memory),
            ("kernel", kernel),
            ("Redis", redis),
            ("Rust", rust),
            ("load", load),
        ] {
            assert!(!said.is_empty() && said != "unknown", "{what}: {said:?}");
        }
    }
}
