//! Output for people: progress on stderr, results and tables on stdout.

use std::cell::Cell;
use std::fmt::Display;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const SPIN: Duration = Duration::from_millis(100);
/// Interval between the progress lines of a long step in a log.
const TELL: Duration = Duration::from_secs(10);

/// Form of progress output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ui {
    /// Spinners, for a person at a terminal.
    Terminal,
    /// One line per finished step, for logs and pipes.
    Plain,
    /// No output: for tests and `--json`.
    Quiet,
}

impl Ui {
    /// Chooses spinners if stderr is a terminal, else plain lines.
    pub fn detect() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Terminal
        } else {
            Self::Plain
        }
    }

    /// Shows a step until it is [done](Step::done), or dropped, which means that it failed.
    pub fn step(self, label: impl Display) -> Step {
        let label = label.to_string();
        let bar = (self == Self::Terminal).then(|| {
            let bar = ProgressBar::new_spinner().with_message(label.clone());
            bar.set_style(ProgressStyle::default_spinner().tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
            bar.enable_steady_tick(SPIN);
            bar
        });
        Step {
            ui: self,
            label,
            bar,
            started: Instant::now(),
            told: Cell::new(Instant::now()),
            finished: false,
        }
    }

    /// Shows a step of known length with a [bar](Step::at).
    pub fn bar(self, label: impl Display) -> Step {
        let step = self.step(label);
        if let Some(bar) = &step.bar {
            let style = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {percent:>3} %");
            // The template is a constant; the fallback is never used.
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        }
        step
    }

    /// Shows one line of progress.
    pub fn note(self, line: impl Display) {
        if self != Self::Quiet {
            eprintln!("  {line}");
        }
    }
}

/// A step that is shown while it runs.
#[derive(Debug)]
pub struct Step {
    ui: Ui,
    label: String,
    bar: Option<ProgressBar>,
    started: Instant,
    told: Cell<Instant>,
    finished: bool,
}

impl Step {
    /// Moves a [bar](Ui::bar).
    pub fn at(&self, position: u64, total: u64, detail: impl Display) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(position);
            bar.set_message(format!("{}: {detail}", self.label));
        } else if self.ui == Ui::Plain && self.told.get().elapsed() > TELL {
            self.told.set(Instant::now());
            eprintln!("  {}: {detail}", self.label);
        }
    }

    /// Shows a detail of the step, on a terminal only.
    pub fn detail(&self, detail: impl Display) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {detail}", self.label));
        }
    }

    /// Ends the step as a success.
    pub fn done(mut self) {
        self.finish("✓");
    }

    fn finish(&mut self, mark: &str) {
        self.finished = true;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.ui != Ui::Quiet {
            eprintln!(
                "{mark} {} ({:.1} s)",
                self.label,
                self.started.elapsed().as_secs_f64()
            );
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.finished {
            self.finish("✗");
        }
    }
}

/// Prints a result. Ends the process if nobody reads any more, as after `| head`.
pub fn print(text: impl Display) {
    if writeln!(std::io::stdout(), "{text}").is_err() {
        std::process::exit(1);
    }
}

/// Prints an error with all its causes.
pub fn print_error(error: &anyhow::Error) {
    eprintln!("mesh: {error:#}");
}

/// Aligns rows in columns; the first row is the header.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
