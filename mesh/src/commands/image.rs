//! `mesh image`: the images of services and gateway.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::project::Project;
use crate::stack::compose::{self, Image};
use crate::ui::{self, Ui};

/// The program that builds images.
const DOCKER: &str = "docker";

/// The arguments of `image`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only the images of these processes
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Tag of the images
    #[arg(long, default_value = "latest")]
    tag: String,
    /// Prefix of their names, such as `registry.example.com/`
    #[arg(long, default_value = "")]
    registry: String,
    /// Arguments for `docker build`, such as `--secret id=cargo,src=FILE`, `--sbom=true`, `--push`
    #[arg(last = true, value_name = "ARGUMENT")]
    others: Vec<String>,
}

pub(super) fn image(args: &Args) -> Result<ExitCode> {
    let project = Project::here()?;
    let images = compose::images(&project);
    if let Some(name) = args
        .names
        .iter()
        .find(|name| images.iter().all(|image| image.process != **name))
    {
        let known: Vec<&str> = project.names().collect();
        bail!("no process {name}; known: {}", known.join(", "));
    }
    let chosen = images
        .iter()
        .filter(|image| args.names.is_empty() || args.names.contains(&image.process));
    let revision = revision(project.root());
    for image in chosen {
        let file = project.root().join(&image.dockerfile);
        ensure!(
            file.is_file(),
            "{} is missing: {}",
            image.dockerfile.display(),
            match image.arguments.is_empty() {
                true => "a service with a `command` has a Dockerfile of its own",
                false => "`mesh compose` writes it",
            }
        );
        let step = Ui::detect().step(format!("building the image of {}", image.process));
        build(project.root(), args, image, &revision)?;
        step.done();
        ui::print(tagged(args, image));
    }
    Ok(ExitCode::SUCCESS)
}

fn tagged(args: &Args, image: &Image) -> String {
    format!("{}{}:{}", args.registry, image.name, args.tag)
}

fn build(root: &Path, args: &Args, image: &Image, revision: &str) -> Result<()> {
    let mut docker = Command::new(DOCKER);
    // The Dockerfile needs BuildKit, which old engines use only when they are told.
    docker.current_dir(root).env("DOCKER_BUILDKIT", "1");
    docker.arg("build").arg("--file").arg(&image.dockerfile);
    docker.args(["--tag", &tagged(args, image)]);
    let labels = [("VERSION", args.tag.as_str()), ("REVISION", revision)];
    let own = image.arguments.iter();
    let own = own.map(|(name, value)| (*name, value.as_str()));
    for (name, value) in own.chain(labels) {
        docker.arg("--build-arg").arg(format!("{name}={value}"));
    }
    docker.args(&args.others).arg(".");
    let status = docker.status();
    let status = status.with_context(|| format!("cannot run {DOCKER}"))?;
    ensure!(
        status.success(),
        "{DOCKER} build of {} failed ({status})",
        image.process
    );
    Ok(())
}

/// Returns the commit of the checkout, for the labels of images.
fn revision(root: &Path) -> String {
    let mut git = Command::new("git");
    git.current_dir(root).args([
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]);
    let output = git.output().ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|| "unknown".to_owned())
}
