//! The broker of a mesh: NATS with JetStream that syncs before it acknowledges, and a user for each
//! service that publishes only its own facts. Readers outside of the mesh have users that publish
//! none.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::StackOptions;
use super::secrets::{Secrets, write_private};
use crate::engines::Engines;
use crate::home::{StateDir, create_dir};
use crate::os::Signal;
use crate::probe::Probe;
use crate::project::{GATEWAY, NATS, Project, Service};
use crate::supervise::Program;

/// The user that may do everything, such as to delete a stream.
pub(crate) const OPERATOR: &str = "operator";

/// Requests of a service to JetStream: streams are created and read, consumers are created, read
/// and pulled from. No stream is changed, purged or deleted, and no consumer is deleted.
const REQUESTS: [&str; 9] = [
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.CREATE.*",
    "$JS.API.STREAM.MSG.GET.*",
    "$JS.API.DIRECT.GET.>",
    "$JS.API.CONSUMER.CREATE.>",
    "$JS.API.CONSUMER.INFO.*.*",
    "$JS.API.CONSUMER.MSG.NEXT.*.*",
    "$JS.ACK.>",
];

/// Requests about the stream of the audit trail, which no service makes.
const AUDIT: [&str; 7] = [
    "$JS.API.STREAM.*.AUDIT",
    "$JS.API.STREAM.MSG.*.AUDIT",
    "$JS.API.DIRECT.GET.AUDIT.>",
    "$JS.API.CONSUMER.*.AUDIT",
    "$JS.API.CONSUMER.*.AUDIT.>",
    "$JS.API.CONSUMER.MSG.NEXT.AUDIT.*",
    "$JS.API.DIRECT.GET.AUDIT",
];

/// Answers to requests.
const INBOXES: &str = "_INBOX.>";

/// Time that a service has to answer a request for one of its methods.
const ANSWER_WITHIN: &str = "10m";

/// Returns the URL of a user's connection.
pub(crate) fn url(address: impl Display, passwords: &Secrets, user: &str) -> Result<String> {
    Ok(format!("nats://{user}:{}@{address}", passwords.of(user)?))
}

/// Makes new passwords for the operator, the services and the readers.
pub(super) fn passwords(dir: &Path, options: &StackOptions) -> Result<Secrets> {
    let mut users: Vec<&str> = vec![OPERATOR];
    users.extend(options.publishers());
    users.extend(options.readers());
    let passwords = Secrets::create(users.into_iter());
    passwords.save(&file(dir))?;
    Ok(passwords)
}

/// Reads the passwords of the mesh that is up.
pub(crate) fn load(dir: &Path) -> Option<Secrets> {
    Secrets::read(&file(dir))
}

fn file(dir: &Path) -> PathBuf {
    dir.join("natspass")
}

pub(super) fn program(
    engines: &Engines,
    state_dir: &StateDir,
    address: SocketAddr,
    log: &Path,
    passwords: &Secrets,
    options: &StackOptions,
) -> Result<Program> {
    let store = state_dir.data().join(NATS);
    create_dir(&store, 0o700)?;
    let file = state_dir.path().join("nats.conf");
    let store = store
        .to_str()
        .context("the path of the data is not UTF-8")?;
    let publishers = options.publishers().collect::<Vec<_>>();
    let users = users(&options.project, &publishers, options.readers(), passwords)?;
    let config = configuration(&address.to_string(), store, users);
    write_private(&file, &serde_json::to_string_pretty(&config)?)?;
    Ok(Program {
        name: NATS.to_owned(),
        binary: engines.nats.clone(),
        args: vec!["--config".into(), file.into()],
        env: std::collections::BTreeMap::new(),
        account: None,
        directory: None,
        address,
        log: log.to_owned(),
        stop: Signal::TERM,
        probe: Probe::Nats(address),
    })
}

/// Returns the configuration, of which that of NATS is a superset. By default JetStream syncs every
/// two minutes, and a power cut loses acknowledged messages.
pub(super) fn configuration(listen: &str, store: &str, users: Vec<Value>) -> Value {
    json!({
        "listen": listen,
        "server_name": "protomesh",
        "logtime_utc": true,
        "jetstream": {"store_dir": store, "sync_interval": "always"},
        "authorization": {"users": users},
    })
}

/// Returns the users with their passwords and permissions: the operator, services, readers.
pub(super) fn users<'a>(
    project: &Project,
    publishers: &[&'a str],
    readers: impl Iterator<Item = &'a str>,
    passwords: &Secrets,
) -> Result<Vec<Value>> {
    let mut users = vec![json!({"user": OPERATOR, "password": passwords.of(OPERATOR)?})];
    let mut others: Vec<(&str, Value)> = Vec::new();
    for &name in publishers {
        let permissions = match project.service(name) {
            Some(service) => permissions(service),
            None if name == GATEWAY => of_gateway(),
            None => bail!("no service {name}"),
        };
        others.push((name, permissions));
    }
    others.extend(readers.map(|reader| (reader, of_reader(reader))));
    for (user, permissions) in others {
        let password = passwords.of(user)?;
        users.push(json!({"user": user, "password": password, "permissions": permissions}));
    }
    Ok(users)
}

/// Returns the permissions of a service. A contract declares events and methods of a service in the
/// package of its name, which is also their context in subjects; its database has the same name.
/// The service answers requests for its methods, and requests those of the services that it calls.
fn permissions(service: &Service) -> Value {
    let name = &service.name;
    let callees = service.calls.iter().map(|callee| methods(callee));
    let wake = format!("mesh.wake.{name}");
    let own = [format!("evt.{name}.>"), wake.clone()];
    let requests = REQUESTS.iter().map(|request| (*request).to_owned());
    let publish: Vec<String> = own.into_iter().chain(callees).chain(requests).collect();
    json!({
        "publish": {"allow": publish, "deny": AUDIT},
        "subscribe": {"allow": [INBOXES, &wake, &methods(name)]},
        "allow_responses": {"max": 1, "expires": ANSWER_WITHIN},
    })
}

/// Returns the permissions of the gateway: it writes its audit trail, and reads where that ends.
fn of_gateway() -> Value {
    json!({
        "publish": {"allow": [
            "audit.*",
            "$JS.API.STREAM.INFO.AUDIT",
            "$JS.API.STREAM.CREATE.AUDIT",
            "$JS.API.STREAM.MSG.GET.AUDIT",
        ]},
        "subscribe": {"allow": [INBOXES]},
    })
}

/// Returns the filter of the methods of a service in requests.
fn methods(service: &str) -> String {
    format!("rpc.{service}.>")
}

/// Returns the permissions of a reader: it pulls from the durable consumers of its name, which the
/// operator makes, and acknowledges. Its inboxes have a prefix of their own, so that it sees no
/// answer to others.
fn of_reader(reader: &str) -> Value {
    json!({
        "publish": {"allow": [
            format!("$JS.API.CONSUMER.INFO.*.{reader}"),
            format!("$JS.API.CONSUMER.MSG.NEXT.*.{reader}"),
            format!("$JS.ACK.*.{reader}.>"),
        ]},
        "subscribe": {"allow": [format!("_INBOX_{reader}.>")]},
    })
}
