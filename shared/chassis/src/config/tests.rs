//! Layers, their order, and errors that name key, expectation and source.

use std::io::Write;

use super::*;

const DEFAULTS: &str = r#"
upstreams = []
database_url = ""
workers = 4
[events]
nats_url = "nats://127.0.0.1:4222"
"#;

#[derive(Debug, Deserialize)]
struct Service {
    upstreams: Vec<String>,
    database_url: String,
    workers: u16,
    events: Events,
}

#[derive(Debug, Deserialize)]
struct Events {
    nats_url: String,
}

fn environment(pairs: &[(&str, &str)]) -> Sources {
    let owned = pairs
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    Sources {
        environment: owned.collect(),
        ..Sources::default()
    }
}

fn file(content: &str) -> (tempfile::NamedTempFile, Sources) {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    let sources = Sources {
        file: Some(file.path().to_owned()),
        ..Sources::default()
    };
    (file, sources)
}

fn service(sources: &Sources) -> Result<Service, ConfigError> {
    Layers::load(DEFAULTS, sources)?.parse()
}

#[test]
fn defaults_are_complete() {
    let layers = Layers::load(DEFAULTS, &Sources::default()).unwrap();
    let settings = layers.settings().unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:0");
    assert_eq!(settings.drain_timeout(), Duration::from_secs(10));
    assert_eq!(settings.log_format, LogFormat::Text);
    assert_eq!(settings.client, ClientSettings::default());
}

#[test]
fn later_layers_win() {
    let (_kept, mut sources) =
        file("workers = 5\ndatabase_url = \"file\"\n[events]\nnats_url = \"file\"");
    sources.environment = environment(&[
        ("PROTOMESH_DATABASE_URL", "variable"),
        ("PROTOMESH_EVENTS__NATS_URL", "variable"),
        ("PROTOMESH_UPSTREAMS", "http://a, http://b"),
    ])
    .environment;
    sources.flags = BTreeMap::from([("database_url".to_owned(), vec!["flag".to_owned()])]);
    let service = service(&sources).unwrap();
    assert_eq!(service.workers, 5);
    assert_eq!(service.events.nats_url, "variable");
    assert_eq!(service.database_url, "flag");
    assert_eq!(service.upstreams, ["http://a", "http://b"]);
}

#[test]
fn flags_and_text_that_looks_like_a_number_stay_as_given() {
    let mut sources = environment(&[("PROTOMESH_DATABASE_URL", "0123")]);
    let urls = vec!["http://a".to_owned(), "http://b".to_owned()];
    sources.flags = BTreeMap::from([("upstreams".to_owned(), urls)]);
    let service = service(&sources).unwrap();
    assert_eq!(service.database_url, "0123");
    assert_eq!(service.upstreams, ["http://a", "http://b"]);
}

#[test]
fn a_wrong_type_names_key_expectation_and_variable() {
    let layers = Layers::load(
        DEFAULTS,
        &environment(&[("PROTOMESH_DRAIN_TIMEOUT_MS", "soon")]),
    )
    .unwrap();
    let text = layers.settings().unwrap_err().to_string();
    for part in [
        "drain_timeout_ms",
        "integer",
        "soon",
        "PROTOMESH_DRAIN_TIMEOUT_MS",
    ] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
}

#[test]
fn a_wrong_type_in_a_file_names_key_and_file() {
    let (kept, sources) = file("listen = \"nowhere\"");
    let layers = Layers::load(DEFAULTS, &sources).unwrap();
    let error = layers.settings().unwrap_err();
    let name = kept.path().file_name().unwrap().to_str().unwrap();
    assert_eq!(error.key, "listen");
    assert!(error.origin.contains(name), "{error}");
}

#[test]
fn an_unknown_key_in_a_file_is_refused() {
    let (_kept, sources) = file("[events]\nnats_ulr = \"nats://x\"");
    let error = Layers::load(DEFAULTS, &sources).unwrap_err();
    assert_eq!(error.key, "events.nats_ulr");
    assert_eq!(
        error.problem,
        "unknown key; did you mean `events.nats_url`?"
    );
}

#[test]
fn an_unknown_variable_is_refused_with_the_one_that_was_meant() {
    for (name, meant) in [
        ("PROTOMESH_LISTN", "PROTOMESH_LISTEN"),
        ("PROTOMESH_LSITEN", "PROTOMESH_LISTEN"),
        ("PROTOMESH_DATABASEURL", "PROTOMESH_DATABASE_URL"),
        ("PROTOMESH_EVENTS_NATS_URL", "PROTOMESH_EVENTS__NATS_URL"),
    ] {
        let error = service(&environment(&[(name, "1")])).err().unwrap();
        assert_eq!(
            error.problem,
            format!("unknown variable; did you mean `{meant}`?")
        );
        assert_eq!(error.origin, format!("environment variable {name}"));
    }
    for name in ["PROTOMESH_OTHER", "PROTOMESH_", "PROTOMESH_EVENTS__OTHER"] {
        let error = service(&environment(&[(name, "1")])).err().unwrap();
        assert!(error.problem.contains("`--help`"), "{name}: {error}");
    }
}

#[test]
fn variables_of_free_tables_and_of_kubernetes_are_no_errors() {
    let defaults = format!("{DEFAULTS}\n[upstream]\n");
    let sources = environment(&[
        ("PROTOMESH_UPSTREAM__ORDERS__URL", "http://a"),
        ("PROTOMESH_GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("PROTOMESH_GATEWAY_SERVICE_PORT", "80"),
        ("PROTOMESH_GATEWAY_PORT", "tcp://10.0.0.1:80"),
        ("PROTOMESH_GATEWAY_PORT_80_TCP_ADDR", "10.0.0.1"),
    ]);
    assert!(Layers::load(&defaults, &sources).is_ok());
}

#[test]
fn a_layer_knows_the_variables_and_what_is_a_default() {
    let sources = environment(&[("PROTOMESH_WORKERS", "5")]);
    let layers = Layers::load(DEFAULTS, &sources).unwrap();
    assert!(layers.is_default("listen"));
    assert!(!layers.is_default("workers"));
    let variables = layers.variables();
    for name in ["PROTOMESH_LISTEN", "PROTOMESH_EVENTS__NATS_URL"] {
        assert!(variables.iter().any(|own| own == name), "{variables:?}");
    }
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_named() {
    let (kept, sources) = file("workers = ");
    let text = Layers::load(DEFAULTS, &sources).unwrap_err().to_string();
    let name = kept
        .path()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    assert!(text.contains(&name), "{text}");
    drop(kept);
    let error = Layers::load(DEFAULTS, &sources).unwrap_err();
    assert_eq!(error.key, "--config");
    assert!(error.problem.contains(&name), "{error}");
}

#[test]
fn zero_connections_are_refused() {
    let sources = environment(&[("PROTOMESH_MAX_CONNECTIONS", "0")]);
    let error = Layers::load(DEFAULTS, &sources)
        .unwrap()
        .settings()
        .unwrap_err();
    assert_eq!(error.key, "max_connections");
    assert_eq!(
        error.origin,
        "environment variable PROTOMESH_MAX_CONNECTIONS"
    );
}

#[test]
fn the_dump_is_readable_again_and_hides_passwords() {
    let url = "postgres://orders:secret@127.0.0.1:5432/orders";
    let sources = environment(&[("PROTOMESH_DATABASE_URL", url)]);
    let dump = Layers::load(DEFAULTS, &sources).unwrap().dump().unwrap();
    assert!(!dump.contains("secret"), "{dump}");
    let (_kept, sources) = file(&dump);
    let again = service(&sources).unwrap();
    assert_eq!(
        again.database_url,
        "postgres://orders:***@127.0.0.1:5432/orders"
    );
    assert_eq!(again.workers, 4);
}
