//! The command line of a process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Flag, Program};
use crate::config::{Layers, Sources};
use crate::process::{Direction, Migration, Task};

/// The flag that every process has beside `--config` and `--dump-config`.
const LISTEN: Flag = Flag {
    name: "listen",
    key: "listen",
    help: "Address to serve on, such as 127.0.0.1:8080; port 0 is any free one",
};

/// The verbs of every process beside serving.
const MIGRATE: &str = "migrate";
const HEALTH: &str = "health";

/// The verbs of `migrate`, with their lines of `--help`.
const DIRECTIONS: [(&str, Direction, &str); 3] = [
    ("up", Direction::Up, "Apply migrations; the default"),
    (
        "down",
        Direction::Down,
        "Roll migrations back; without --to, the last one",
    ),
    (
        "status",
        Direction::Status,
        "Print the migrations and which of them are applied",
    ),
];

/// The verb of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Runs the process.
    Run(Task),
    /// Asks the running process whether it is ready.
    Health,
}

/// A command line that was read.
pub(super) struct Arguments {
    pub(super) verb: Verb,
    pub(super) file: Option<PathBuf>,
    pub(super) dump: bool,
    /// Values by key.
    pub(super) flags: BTreeMap<String, Vec<String>>,
}

/// Reads a command line; `--help` and `--version` are errors that are no failures.
pub(super) fn parse(
    program: &Program<'_>,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Arguments, clap::Error> {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .global(true)
        .help("TOML file of configuration keys");
    let dump = Arg::new("dump-config")
        .long("dump-config")
        .action(ArgAction::SetTrue)
        .global(true)
        .help("Print the effective configuration and exit");
    let flags = program.flags.iter().chain([&LISTEN]);
    let own = flags.clone().map(|flag| {
        let value = if flag.key == LISTEN.key {
            "HOST:PORT"
        } else {
            "VALUE"
        };
        Arg::new(flag.name)
            .long(flag.name)
            .value_name(value)
            .action(ArgAction::Append)
            .global(true)
            .help(flag.help)
    });
    let matches = Command::new(program.name)
        .about(program.about)
        .version(env!("CARGO_PKG_VERSION"))
        .args([file, dump])
        .args(own)
        .subcommands([migrate(), health()])
        .disable_help_subcommand(true)
        .after_help(environment(None))
        .after_long_help(environment(Some(program.defaults)))
        .try_get_matches_from(arguments)?;
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for flag in flags {
        if let Some(given) = matches.get_many::<String>(flag.name) {
            let key = values.entry(flag.key.to_owned()).or_default();
            key.extend(given.cloned());
        }
    }
    let verb = match matches.subcommand() {
        Some((HEALTH, _)) => Verb::Health,
        Some((_, given)) => Verb::Run(Task::Migrate(migration(given))),
        None => Verb::Run(Task::Serve),
    };
    Ok(Arguments {
        verb,
        file: matches.get_one("config").cloned(),
        dump: matches.get_flag("dump-config"),
        flags: values,
    })
}

fn health() -> Command {
    Command::new(HEALTH).about(
        "Ask the process of this configuration for GET /readyz; exit with 0 if it answers 200",
    )
}

fn migrate() -> Command {
    let to = Arg::new("to")
        .long("to")
        .value_name("VERSION")
        .value_parser(clap::value_parser!(i64).range(0..))
        .help("Last migration that is applied afterwards");
    let library = Arg::new("library")
        .long("library")
        .value_name("NAME")
        .help("Library whose schema is meant, as `status` lists it, instead of the service's own");
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print JSON");
    let direction = |(name, direction, about)| {
        let verb = Command::new(name).about(about);
        match direction {
            Direction::Status => verb.arg(json.clone()),
            Direction::Up | Direction::Down => verb.args([to.clone(), library.clone()]),
        }
    };
    Command::new(MIGRATE)
        .about("Bring the database up to date, or to another version, and exit, instead of serving")
        .disable_help_subcommand(true)
        .subcommands(DIRECTIONS.map(direction))
}

fn migration(given: &ArgMatches) -> Migration {
    let Some((name, given)) = given.subcommand() else {
        return Migration::default();
    };
    let known = DIRECTIONS.iter().find(|(verb, ..)| *verb == name);
    let direction = known.map_or(Direction::Up, |(_, direction, _)| *direction);
    if direction == Direction::Status {
        return Migration {
            direction,
            json: given.get_flag("json"),
            ..Migration::default()
        };
    }
    Migration {
        direction,
        to: given.get_one("to").copied(),
        library: given.get_one("library").cloned(),
        json: false,
    }
}

/// Tells how the environment sets keys; with the defaults, by which variables.
fn environment(defaults: Option<&str>) -> String {
    let mut text = "Environment:\n  PROTOMESH_CONFIG   the file of --config\n  \
        PROTOMESH_<KEY>    any key, `__` for a dot: PROTOMESH_LISTEN, PROTOMESH_TLS__CERT_FILE\n\n\
        A flag wins over the environment, which wins over the file. \
        --dump-config prints all keys with their values."
        .to_owned();
    let layers = defaults.map(|defaults| Layers::load(defaults, &Sources::default()));
    match layers {
        Some(Ok(layers)) => {
            text.push_str("\n\nVariables:\n  ");
            text.push_str(&layers.variables().join("\n  "));
        }
        _ => text.push_str(" --help lists the variables."),
    }
    text
}
