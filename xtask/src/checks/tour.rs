//! `cargo xtask tour`: runs the commands of a page as a reader would, one after the other, and
//! prints how long each block takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use mesh::home::Home;
use mesh::{Snapshot, cargo};

/// Beginnings of lines that are left out: what installs programs, what runs until Ctrl-C, and what
/// is a step of CI itself.
const LEFT_OUT: [&str; 5] = [
    "cargo install",
    "cargo mesh test",
    "cargo mesh verify",
    "mesh dev",
    "mesh-gateway",
];

/// Bound of a tour, in seconds.
const LONGEST_S: &str = "1800";
/// Program whose lines are left out where it is not installed.
const GRPCURL: &str = "grpcurl";

/// Before the commands: an error response of HTTP is a failure, and a failure ends the tour. A
/// process that is just coming back makes `status` fail, which is what it is there to show.
const PRELUDE: &str = r#"
set -euo pipefail
curl() { command curl --fail-with-body --max-time 60 "$@"; echo; }
gateway() {
    "$MESH" status --json 2>/dev/null | python3 -c '
import json, sys
mesh = json.load(sys.stdin) or {"processes": {}}
print(mesh["processes"].get("gateway", {}).get("address", "127.0.0.1:8080"))' || true
}
end() { "$MESH" down >/dev/null 2>&1 || true; }
trap end EXIT
"#;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Page whose commands are run
    #[arg(default_value = "README.md")]
    page: PathBuf,
    /// Run it in a new directory outside of the checkout, with `mesh` in PATH
    #[arg(long)]
    elsewhere: bool,
}

pub(crate) fn tour(args: &Args) -> Result<ExitCode> {
    let home = Home::find()?;
    run(&home, &home.root().join(&args.page), args.elsewhere)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the shell blocks of a page.
///
/// # Errors
/// When a command fails.
pub(crate) fn run(home: &Home, page: &Path, is_elsewhere: bool) -> Result<()> {
    let text =
        fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    let blocks = blocks(&text);
    ensure!(
        !blocks.is_empty(),
        "{} has no shell commands",
        page.display()
    );
    let binaries = cargo::binaries(home)?.dir;
    let mut path = vec![binaries.clone(), home.mesh().join("bin")];
    path.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    let elsewhere = tempfile::tempdir()?;
    let directory = match is_elsewhere {
        true => elsewhere.path(),
        false => home.root(),
    };
    let path = std::env::join_paths(path)?;
    // Not everybody has it.
    let has_grpcurl = std::env::split_paths(&path).any(|dir| dir.join(GRPCURL).is_file());
    if !is_elsewhere {
        let up = Snapshot::load(&home.mesh()).filter(|mesh| mesh.supervisor.is_alive());
        ensure!(
            up.is_none(),
            "a mesh is up, whose data would change: stop it with `mesh down`"
        );
    }
    let status = Command::new("timeout")
        .args(["--kill-after=60", LONGEST_S, "bash", "-c"])
        .arg(script(&blocks, has_grpcurl))
        .env("MESH", binaries.join("mesh"))
        .env("PATH", path)
        .current_dir(directory)
        .stdin(Stdio::null())
        .status()
        .context("cannot run timeout and bash")?;
    ensure!(
        status.success(),
        "a command of {} failed ({status})",
        page.display()
    );
    Ok(())
}

/// Returns the shell blocks of a page, also those of a list.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, Vec<&str>)> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match &mut open {
            None if line.trim_start() == "```sh" => open = Some((indent, Vec::new())),
            None => {}
            Some((_, lines)) if line.trim_start() == "```" => {
                blocks.push(lines.join("\n"));
                open = None;
            }
            Some((indent, lines)) => lines.push(line.get(*indent..).unwrap_or_default()),
        }
    }
    blocks
}

fn script(blocks: &[String], has_grpcurl: bool) -> String {
    let mut script = PRELUDE.to_owned();
    for block in blocks {
        let kept = block.lines().filter(|line| {
            let is_left_out = LEFT_OUT.iter().any(|out| line.starts_with(out));
            !is_left_out && (has_grpcurl || !line.contains(GRPCURL))
        });
        let lines: Vec<String> = kept
            .map(|line| match line.ends_with("mesh status") {
                true => format!("{line} || true"),
                false => line.replace("localhost:8080", "$GATEWAY"),
            })
            .collect();
        let Some(title) = lines.first() else {
            continue;
        };
        let title = title.replace('\'', "").replace(" || true", "");
        script += &format!(
            "GATEWAY=$(gateway); begun=$(date +%s)\n{}\n\
             echo \"  $(($(date +%s) - begun)) s\" '{title}' >&2\n",
            lines.join("\n")
        );
    }
    // What starts the mesh is followed by calls of it.
    script.replace(
        "mesh up --detach\n",
        "mesh up --detach\nGATEWAY=$(gateway)\n",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_a_page_are_one_script() {
        let page = "# A\n\n```sh\nmesh new shop\n```\n\n1. B\n\n   ```sh\n   cargo install x\n   \
                    curl localhost:8080\n   ```\n\n```toml\nno = 1\n```\n";
        let blocks = blocks(page);
        assert_eq!(
            blocks,
            ["mesh new shop", "cargo install x\ncurl localhost:8080"]
        );
        let script = script(&blocks, true);
        assert!(script.contains("\ncurl $GATEWAY\n"), "{script}");
        assert!(!script.contains("cargo install"), "{script}");
    }
}
