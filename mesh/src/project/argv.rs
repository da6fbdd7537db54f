//! Commands as a project writes them: a list of words.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// A program with its arguments; it runs in the directory of the project.
#[derive(Clone, Debug, Serialize)]
pub struct Argv {
    /// The program, by name or path.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

// === impl Argv ===

impl Argv {
    pub(super) fn parse(key: &str, words: Vec<String>) -> Result<Self> {
        let mut words = words.into_iter();
        let program = words.next().filter(|program| !program.is_empty());
        let program = program
            .with_context(|| format!("{key}: expected a list of a program and its arguments"))?;
        let arguments = words.collect();
        Ok(Self { program, arguments })
    }

    pub(super) fn parse_all(key: &str, commands: Vec<Vec<String>>) -> Result<Vec<Self>> {
        let commands = commands.into_iter();
        commands.map(|words| Self::parse(key, words)).collect()
    }

    /// Returns the command, in the directory of the project.
    pub fn command(&self, root: &Path) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.arguments).current_dir(root);
        command
    }
}

impl fmt::Display for Argv {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.program)?;
        let mut arguments = self.arguments.iter();
        arguments.try_for_each(|argument| write!(formatter, " {argument}"))
    }
}
