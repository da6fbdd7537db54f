//! Clients that generators make from the OpenAPI document of the live mesh: each places an order.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use integration_tests::Mesh;

use super::{MAVEN, build_python, built, checkout, copy, output, present, succeed};

/// The version of openapi-generator.
const GENERATOR: &str = "org.openapitools:openapi-generator-cli:7.17.0:jar";
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy";
const DOCUMENT: &str = "openapi.json";

/// A generator with a program that uses the client.
struct Generator {
    /// Its directory in `integration-tests/openapi`.
    name: &'static str,
    tools: &'static [&'static str],
    /// Generates from the document in the directory, and builds the program.
    build: fn(&Path) -> Result<()>,
    run: fn(&Path) -> Command,
}

const GENERATORS: [Generator; 3] = [
    Generator {
        name: "typescript",
        tools: &["node", "npm"],
        build: |dir| {
            for words in [
                &["ci", "--no-audit", "--no-fund"][..],
                &["run", "generate"],
                &["run", "build"],
            ] {
                succeed(Command::new("npm").args(words).current_dir(dir))?;
            }
            Ok(())
        },
        run: |dir| program("node", &dir.join("dist/place.js")),
    },
    Generator {
        name: "go",
        tools: &["go"],
        build: |dir| {
            fs::create_dir(dir.join("api"))?;
            let generate = [
                "tool",
                "oapi-codegen",
                "-package",
                "api",
                "-generate",
                "types,client",
            ];
            let files = ["-o", "api/api.go", DOCUMENT];
            succeed(
                Command::new("go")
                    .args(generate)
                    .args(files)
                    .current_dir(dir),
            )?;
            let build = ["build", "-o", "place", "."];
            succeed(Command::new("go").args(build).current_dir(dir))
        },
        run: |dir| Command::new(dir.join("place")),
    },
    Generator {
        name: "python",
        tools: &["python3", "java", "mvn"],
        build: |dir| {
            let mut fetch = Command::new("mvn");
            fetch
                .args(MAVEN)
                .arg(COPY)
                .arg(format!("-Dartifact={GENERATOR}"));
            fetch.args(["-DoutputDirectory=.", "-Dmdep.stripVersion=true"]);
            succeed(fetch.current_dir(dir))?;
            let generate = [
                "-jar",
                "openapi-generator-cli.jar",
                "generate",
                "-g",
                "python",
            ];
            let files = ["-i", DOCUMENT, "-o", "client"];
            let mut java = Command::new("java");
            java.args(generate).args(files).current_dir(dir);
            succeed(java.arg("--additional-properties=packageName=order_to_cash"))?;
            build_python(dir, &built("openapi-packages"))
        },
        run: |dir| {
            let packages = [dir.join("client"), built("openapi-packages")];
            let mut python = program("python3", &dir.join("place.py"));
            python.env("PYTHONPATH", std::env::join_paths(packages).unwrap());
            python
        },
    },
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "`cargo mesh test clients` runs it: it fetches four generators"]
async fn clients_of_the_openapi_document_place_an_order() -> Result<()> {
    let mesh = Mesh::start().await?;
    let http = mesh.http()?;
    let document = http.get("/openapi.json", "application/json").await?;
    let gateway = mesh.stack().url("gateway")?;
    for generator in &GENERATORS {
        let missing = generator
            .tools
            .iter()
            .map(|tool| present(tool, "--version"));
        if missing.collect::<Result<Vec<_>>>()?.contains(&false) {
            continue;
        }
        let dir = built(&format!("openapi-{}", generator.name));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(built(""))?;
        copy(
            &checkout()
                .join("integration-tests/openapi")
                .join(generator.name),
            &dir,
        )?;
        fs::write(dir.join(DOCUMENT), &document.body)?;
        let placed = async {
            (generator.build)(&dir)?;
            let placed = output((generator.run)(&dir).arg(&gateway)).await?;
            ensure!(placed.status.success(), "{placed:?}");
            let order = String::from_utf8(placed.stdout)?.trim().to_owned();
            let path = format!("/v1/orders/{order}");
            let order = http.get(&path, "application/json").await?.json()?;
            ensure!(order["totalMinor"] == "1800", "{order}");
            Ok(())
        };
        placed
            .await
            .with_context(|| format!("the client in {}", generator.name))?;
    }
    Ok(())
}

fn program(interpreter: &str, file: &Path) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(file);
    command
}
