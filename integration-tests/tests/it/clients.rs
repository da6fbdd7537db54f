//! Clients in other languages: `mesh clients` generates them, and the examples call the real mesh.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use integration_tests::import::HEADER;

use super::access::Guarded;
use super::consumers::{present, succeed};

mod openapi;

/// A client of the examples.
struct Client {
    language: &'static str,
    /// Programs that it needs, each with an argument with which it only prints something.
    tools: &'static [(&'static str, &'static str)],
    build: fn(&Path) -> Result<()>,
    /// Returns what runs it, with an address and a file.
    run: fn(&Path, &str, &str) -> Command,
}

const PYTHON: Client = Client {
    language: "python",
    tools: &[("python3", "--version")],
    build: |dir| build_python(dir, &built("python")),
    run: |dir, address, file| {
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", built("python"));
        command.args(["main.py", address, file]).current_dir(dir);
        command
    },
};

const TYPESCRIPT: Client = Client {
    language: "typescript",
    tools: &[("node", "--version"), ("npm", "--version")],
    build: |dir| {
        let ci = ["ci", "--no-audit", "--no-fund"];
        succeed(Command::new("npm").args(ci).current_dir(dir))?;
        succeed(Command::new("npm").args(["run", "build"]).current_dir(dir))
    },
    run: |dir, address, file| {
        let mut command = Command::new("node");
        let arguments = ["dist/src/node.js", address, file];
        command.args(arguments).current_dir(dir);
        command
    },
};

const GO: Client = Client {
    language: "go",
    tools: &[("go", "version")],
    build: |dir| build_go(dir, &built("client-go")),
    run: |_, address, file| {
        let mut command = Command::new(built("client-go"));
        command.args([address, file]);
        command
    },
};

const JAVA: Client = Client {
    language: "java",
    tools: &[("java", "-version"), ("mvn", "--version")],
    build: |dir| {
        succeed(
            Command::new("mvn")
                .args(MAVEN)
                .arg("compile")
                .current_dir(dir),
        )
    },
    run: |dir, address, file| {
        let mut command = Command::new("mvn");
        command.args(MAVEN).arg("exec:java").current_dir(dir);
        command.arg(format!("-Dexec.args={address} {file}"));
        command
    },
};

const MAVEN: [&str; 3] = ["--quiet", "--batch-mode", "-Dstyle.color=never"];

#[tokio::test(flavor = "multi_thread")]
async fn clients_in_python_typescript_and_go_call_the_mesh() -> Result<()> {
    call_the_mesh(&[PYTHON, TYPESCRIPT, GO]).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "`cargo mesh test clients` runs it: Maven is slow"]
async fn clients_in_java_call_the_mesh() -> Result<()> {
    call_the_mesh(&[JAVA]).await
}

/// Generates, builds and runs the clients that can be built here, with a token and without.
async fn call_the_mesh(clients: &[Client]) -> Result<()> {
    let mut ready = Vec::new();
    for client in clients {
        let missing = client
            .tools
            .iter()
            .map(|(tool, shown)| present(tool, shown));
        if missing.collect::<Result<Vec<_>>>()?.contains(&false) {
            continue;
        }
        let dir = examples().join(client.language);
        generate(&[], client.language, &dir.join("gen"))?;
        (client.build)(&dir)
            .with_context(|| format!("building the client in {}", client.language))?;
        ready.push((client, dir));
    }
    if ready.is_empty() {
        return Ok(());
    }
    let guarded = Guarded::start().await?;
    let bearer = guarded.bearer("admin", "")?;
    for (number, (client, dir)) in ready.iter().enumerate() {
        let checked = async {
            let address = guarded.mesh.stack().address("gateway")?.to_string();
            let file = guarded.mesh.stack().dir().join(client.language);
            let invoice = 536_365 + number;
            let row = format!("{invoice},85123A,HOLDER,1,2010-12-01 08:26:00,2.55,17850,Norway\n");
            fs::write(&file, HEADER.to_owned() + &row)?;
            let file = file.display().to_string();
            let mut anonymous = (client.run)(dir, &address, &file);
            let refused = output(anonymous.env_remove("MESH_TOKEN")).await?;
            ensure!(!refused.status.success(), "a call without a token");
            let said = folded(&format!("{refused:?}"));
            ensure!(said.contains("unauthenticated"), "{said}");
            let mut command = (client.run)(dir, &address, &file);
            let token = bearer.trim_start_matches("Bearer ");
            let done = output(command.env("MESH_TOKEN", token)).await?;
            ensure!(done.status.success(), "{done:?}");
            check(&guarded, &bearer, &String::from_utf8(done.stdout)?).await
        };
        checked
            .await
            .with_context(|| format!("the client in {}", client.language))?;
    }
    Ok(())
}

/// Checks the lines that a client has printed, and that the mesh has what they say.
async fn check(guarded: &Guarded, bearer: &str, printed: &str) -> Result<()> {
    // Maven resets colours that it was told not to use.
    let printed = &printed.replace("\u{1b}[0m", "");
    let all = |key: &str| -> Vec<&str> {
        let lines = printed.lines();
        lines
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
            .collect()
    };
    let ([placed], [repeated]) = (&*all("placed"), &*all("repeated")) else {
        bail!("{printed}");
    };
    ensure!(placed == repeated && !placed.is_empty(), "{printed}");
    let states = all("watched");
    ensure!(
        states.last().is_some_and(|last| last.ends_with("PAID")),
        "{printed}"
    );
    let refused: Vec<String> = all("refused").into_iter().map(folded).collect();
    ensure!(refused == ["invalidargument", "notfound"], "{printed}");
    ensure!(
        all("reason") == ["INVALID_FIELD", "ORDER_NOT_FOUND"],
        "{printed}"
    );
    let fields = folded(&all("field").join("\n"));
    ensure!(
        fields.contains("requestid") && fields.contains("currencycode"),
        "{printed}"
    );

    let http = guarded.http(Some(("authorization", bearer)))?;
    let order = http
        .get(&format!("/v1/orders/{placed}"), "application/json")
        .await?
        .json()?;
    ensure!(order["state"] == "ORDER_STATE_PAID", "{order}");
    let [uploaded] = &*all("uploaded") else {
        bail!("{printed}");
    };
    let (import, bytes) = uploaded
        .split_once(' ')
        .context("an import and its bytes")?;
    let import = http
        .get(&format!("/v1/imports/{import}"), "application/json")
        .await?
        .json()?;
    ensure!(import["sizeBytes"] == bytes, "{import} {printed}");
    ensure!(import["receivedBytes"] == bytes, "{import} {printed}");
    ensure!(import["rowsAccepted"] == "1", "{import}");
    Ok(())
}

#[test]
fn a_renamed_field_breaks_the_build_of_clients() -> Result<()> {
    if !present("go", "version")? {
        return Ok(());
    }
    let work = tempfile::tempdir()?;
    let client = work.path().join("client");
    fs::create_dir(&client)?;
    for file in ["go.mod", "go.sum", "main.go"] {
        fs::copy(examples().join("go").join(file), client.join(file))?;
    }
    let contracts = work.path().join("proto");
    copy(&checkout().join("proto"), &contracts)?;
    let generated = client.join("gen");
    generate(&[&contracts], "go", &generated)?;
    build_go(&client, &work.path().join("before"))?;

    let orders = contracts.join("orders/v1/orders_service.proto");
    let text = fs::read_to_string(&orders)?;
    let renamed = text.replace("string account_id = 2 [", "string customer_id = 2 [");
    ensure!(renamed != text, "the field has moved");
    fs::write(&orders, renamed)?;
    generate(&[&contracts], "go", &generated)?;
    let refused = build_go(&client, &work.path().join("after")).unwrap_err();
    let said = format!("{refused:#}");
    ensure!(said.contains("unknown field AccountId"), "{said}");
    Ok(())
}

#[test]
#[ignore = "`cargo mesh test clients` runs it: it needs the tools of four languages"]
fn clients_are_generated_by_buf_as_its_file_is_written() -> Result<()> {
    for tool in ["python3", "npm", "go", "mvn"] {
        if !present(tool, "version")? {
            return Ok(());
        }
    }
    succeed(mesh().args(["clients", "--install"]))?;
    let out = tempfile::tempdir()?;
    let mut buf = Command::new(checkout().join(".mesh/bin/buf"));
    buf.current_dir(checkout())
        .args(["generate", "--output"])
        .arg(out.path());
    succeed(&mut buf)?;
    for file in [
        "python/orders/v1/orders_service_pb2_grpc.py",
        "typescript/orders/v1/orders_service_pb.ts",
        "typescript/google/api/httpbody_pb.ts",
        "go/orders/v1/orders_service_grpc.pb.go",
        "java/com/orders/v1/OrdersServiceGrpc.java",
    ] {
        let path = out.path().join("gen").join(file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        ensure!(
            !text.contains("buf/validate") && !text.contains("buf.validate"),
            "{file}"
        );
    }
    Ok(())
}

#[test]
fn clients_replace_only_what_they_have_written() -> Result<()> {
    let work = tempfile::tempdir()?;
    fs::write(work.path().join("notes.txt"), "mine")?;
    let refused = generate(&[], "go", work.path()).unwrap_err().to_string();
    ensure!(refused.contains("did not write"), "{refused}");
    ensure!(work.path().join("notes.txt").is_file(), "a file is gone");
    Ok(())
}

/// Installs the packages, which stay for the next run.
fn build_python(dir: &Path, packages: &Path) -> Result<()> {
    let requirements = dir.join("requirements.txt");
    let done = packages.join("requirements.txt");
    if fs::read(&done).ok() != Some(fs::read(&requirements)?) {
        let pip = ["-m", "pip", "install", "--quiet", "--upgrade", "--target"];
        let mut install = Command::new("python3");
        install.args(pip).arg(packages).arg("-r").arg(&requirements);
        succeed(&mut install)?;
        fs::copy(&requirements, done)?;
    }
    Ok(())
}

fn build_go(dir: &Path, program: &Path) -> Result<()> {
    fs::create_dir_all(program.parent().context("a directory")?)?;
    let mut build = Command::new("go");
    succeed(
        build
            .current_dir(dir)
            .args(["build", "-o"])
            .arg(program)
            .arg("."),
    )
}

/// Generates the code of one language, of the contracts of this mesh unless others are named.
fn generate(contracts: &[&Path], language: &str, out: &Path) -> Result<()> {
    let mut clients = mesh();
    clients.arg("clients").args(contracts);
    succeed(clients.args(["--lang", language, "--out"]).arg(out))
}

/// Returns the command `mesh` in this checkout.
fn mesh() -> Command {
    let program = std::env::current_exe().unwrap_or_default();
    let programs = program.parent().and_then(Path::parent);
    let mut mesh = Command::new(programs.unwrap_or(Path::new("")).join("mesh"));
    mesh.current_dir(checkout());
    mesh
}

async fn output(command: &mut Command) -> Result<Output> {
    let mut command = std::mem::replace(command, Command::new(""));
    let ran = tokio::task::spawn_blocking(move || command.output()).await?;
    ran.context("cannot run it")
}

/// Languages spell names of codes and fields differently.
fn folded(name: &str) -> String {
    name.replace('_', "").to_lowercase()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &to)?,
            false => fs::copy(entry.path(), to).map(drop)?,
        }
    }
    Ok(())
}

fn checkout() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn examples() -> PathBuf {
    checkout().join("clients")
}

fn built(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join("clients")
        .join(name)
}
