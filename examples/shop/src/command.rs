//! The command line.

use crate::demo::{Part, Scenario};
use crate::store::Address;

/// What is to be done.
pub(crate) enum Command {
    Help,
    /// Plays these scenarios; `None`: those that are played by default.
    Demo {
        scenarios: Vec<Scenario>,
        store: Option<Address>,
    },
    /// Reads the databases in a folder.
    Audit {
        dir: String,
    },
    /// What the demo starts in order to kill it.
    UntilKilled(Part),
}

/// What is wrong with a command line.
#[derive(Debug)]
pub(crate) struct Mistake(pub(crate) String);

impl Command {
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self, Mistake> {
        let (mut words, mut store) = (Vec::new(), None);
        let mut args = args;
        while let Some(arg) = args.next() {
            let (name, value) = match arg.split_once('=') {
                Some((name, value)) if name.starts_with('-') => (name.to_owned(), Some(value.to_owned())),
                _ => (arg, None),
            };
            match name.as_str() {
                "-h" | "--help" | "help" => return Ok(Self::Help),
                "--store" => {
                    let address = value.or_else(|| args.next());
                    let address = address.ok_or_else(|| Mistake("--store needs an address".into()))?;
                    if store.replace(Address::parse(&address)?).is_some() {
                        return Err(Mistake("--store is given twice".into()));
                    }
                }
                option if option.starts_with('-') => {
                    return Err(Mistake(format!("there is no option {option}")));
                }
                _ => words.push(name),
            }
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] | ["demo"] => Ok(Self::Demo { scenarios: Scenario::ALL.to_vec(), store }),
            ["demo", names @ ..] => {
                let scenarios = names.iter().map(|name| scenario(name)).collect::<Result<_, _>>()?;
                Ok(Self::Demo { scenarios, store })
            }
            ["audit", dir] if store.is_none() => Ok(Self::Audit { dir: (*dir).to_owned() }),
            ["audit", ..] => Err(Mistake("audit needs one folder, and nothing else".into())),
            ["until-killed", name, group, dir] => {
                let store = store.ok_or_else(|| Mistake("until-killed needs --store".into()))?;
                let (scenario, group, dir) = (scenario(name)?, (*group).to_owned(), dir.into());
                Ok(Self::UntilKilled(Part { scenario, group, dir, store }))
            }
            names @ [first, ..] if Scenario::named(first).is_some() => {
                let scenarios = names.iter().map(|name| scenario(name)).collect::<Result<_, _>>()?;
                Ok(Self::Demo { scenarios, store })
            }
            [other, ..] => Err(Mistake(format!("there is no command and no scenario {other:?}"))),
        }
    }
}

fn scenario(name: &str) -> Result<Scenario, Mistake> {
    let known = || Scenario::ALL.map(Scenario::name).join(", ");
    Scenario::named(name)
        .ok_or_else(|| Mistake(format!("there is no scenario {name:?}; there are: {}", known())))
}

pub(crate) fn help() -> String {
    let mut help = String::from(
        "A shop whose checkout spans five services, each with a database of its own: it happens everywhere or nowhere.

usage: shop [demo] [SCENARIO...] [--store STORE]
       shop audit FOLDER

commands:
  demo               plays the scenarios named, or all of them, and shows what became of money and stock (the default)
  audit FOLDER       reads the five databases in a folder, and says whether everything adds up

options:
  --store STORE      where the transactions' log is kept:
                       sqlite:FILE           a SQLite file; one in a temporary folder, unless said otherwise
                       redis://HOST[:PORT]   a Redis server
                       memory:               this process, so that nobody can go on after a kill
  -h, --help         this

scenarios:
",
    );
    for scenario in Scenario::ALL.into_iter().chain([Scenario::MissingCent]) {
        help.push_str(&format!("  {:<20} {}\n", scenario.name(), scenario.about()));
    }
    help.push_str(
        "
exit code: 0 if all went as described; 1 if not, or if something does not add up; 2 if it could not be played
",
    );
    help
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, Mistake> {
        Command::parse(line.split_whitespace().map(str::to_owned))
    }

    fn mistake(line: &str) -> String {
        match parse(line) {
            Err(Mistake(what)) => what,
            Ok(_) => panic!("{line:?} is taken"),
        }
    }

    #[test]
    fn the_demo_is_the_default() {
        for line in ["", "demo"] {
            let Ok(Command::Demo { scenarios, store: None }) = parse(line) else { panic!("{line:?}") };
            assert_eq!(scenarios, Scenario::ALL);
        }
        let Ok(Command::Demo { scenarios, store: Some(Address::Memory) }) =
            parse("--store memory: demo bought refund")
        else {
            panic!("options may come first")
        };
        assert_eq!(scenarios, [Scenario::Bought, Scenario::Refund]);
        let Ok(Command::Demo { scenarios, .. }) = parse("refund bought") else {
            panic!("`demo` may be left out")
        };
        assert_eq!(scenarios, [Scenario::Refund, Scenario::Bought]);
        let sqlite = parse("demo --store=sqlite:a=b.db");
        assert!(
            matches!(sqlite, Ok(Command::Demo { store: Some(Address::Sqlite(file)), .. }) if file == "sqlite:a=b.db")
        );
        assert!(matches!(parse("demo --help"), Ok(Command::Help)));
        assert!(matches!(parse("audit here"), Ok(Command::Audit { dir }) if dir == "here"));
    }

    #[test]
    fn a_mistake_says_what_may_be_given() {
        assert_eq!(mistake("sell"), "there is no command and no scenario \"sell\"");
        assert_eq!(mistake("demo --fast"), "there is no option --fast");
        assert_eq!(mistake("--store"), "--store needs an address");
        assert_eq!(mistake("--store memory: --store memory:"), "--store is given twice");
        assert!(
            mistake("demo bougth")
                .starts_with("there is no scenario \"bougth\"; there are: bought, out-of-stock")
        );
        let store = mistake("--store postgres://shop:secret@db");
        assert!(
            store.contains("postgres:") && store.contains("redis://") && !store.contains("secret"),
            "{store}"
        );
        assert_eq!(mistake("audit"), "audit needs one folder, and nothing else");
    }

    #[test]
    fn help_names_every_scenario() {
        let help = help();
        assert!(Scenario::ALL.iter().all(|scenario| help.contains(scenario.name())));
        assert!(help.lines().all(|line| line.chars().count() <= 120), "{help}");
    }
}
