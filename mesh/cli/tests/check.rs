//! `mesh check`: the command, its output and its exit codes.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const CONTRACT: &str = r#"syntax = "proto3";
package tickets.v1;

import "google/api/annotations.proto";
import "mesh/v1/options.proto";

service Tickets {
  rpc GetTicket(GetTicketRequest) returns (Ticket) {
    option (google.api.http) = {get: "/v1/tickets/{ticket_id}"}; option (mesh.v1.access) = {public: true};
  }
}

message GetTicketRequest {
  string ticket_id = 1;
}

message Ticket {
  string ticket_id = 1;
  string title = 2;
}

message TicketClosed {
  option (mesh.v1.event) = {aggregate: "ticket" key: "ticket_id"};
  string ticket_id = 1;
  Ticket ticket = 2;
}
"#;

/// A directory with `proto/tickets/v1/tickets.proto`.
struct Project(TempDir);

impl Project {
    fn new(contract: &str) -> Self {
        let project = Project(TempDir::new().unwrap());
        fs::create_dir_all(project.file().parent().unwrap()).unwrap();
        project.write(contract);
        project
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("proto/tickets/v1/tickets.proto")
    }

    fn write(&self, contract: &str) {
        fs::write(self.file(), contract).unwrap();
    }

    fn check(&self, arguments: &[&str]) -> (i32, String) {
        let output = check(self.0.path(), arguments);
        let told = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(told).unwrap(),
        )
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.arg("-C").arg(self.0.path());
        git.args(["-c", "user.name=T", "-c", "user.email=t@example.com"]);
        let output = git.args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn commit(&self) {
        self.git(&["init", "-q"]);
        self.git(&["add", "."]);
        self.git(&["commit", "-q", "-m", "contract"]);
    }
}

fn check(dir: &Path, arguments: &[&str]) -> Output {
    let mut mesh = Command::new(env!("CARGO_BIN_EXE_mesh"));
    let mesh = mesh.arg("check").args(arguments).current_dir(dir);
    mesh.output().unwrap()
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

#[test]
fn each_mistake_is_told_with_its_line_and_what_to_write() {
    let dir = checkout().join("shared/compiler/tests/mistakes");
    let guide = fs::read_to_string(checkout().join("docs/guides/contracts.md")).unwrap();
    let mut count = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let expected = text.lines().next().unwrap().trim_start_matches("// ");
        let (place, sentence) = expected.split_once(": ").unwrap();
        let sentence = sentence
            .replace("DIR", ".")
            .replace("HINT", "`--include DIR`");

        let output = check(&dir, &[name]);
        let told = String::from_utf8(output.stdout).unwrap();
        let first = told.lines().next().unwrap();
        assert_eq!(first, format!("./{name}:{place}: error: {sentence}"));
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(guide.contains(&sentence), "the guide lacks: {sentence}");
        count += 1;
    }
    assert!(count >= 14, "{count} mistakes");
}

#[test]
fn the_contracts_of_this_repository_have_no_mistake() {
    let roots = ["proto", "shared/desk/proto", "shared/compiler/proto"];
    let output = check(&checkout(), &roots);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains(": 0 mistakes"), "{told}");
}

#[test]
fn a_clean_directory_ends_with_0_and_says_what_was_read() {
    let project = Project::new(CONTRACT);
    let told = "1 file: 0 mistakes, 0 breaking changes, 0 warnings\n";
    assert_eq!(project.check(&[]), (0, told.to_owned()));
    assert_eq!(
        project.check(&["proto/tickets/v1/tickets.proto"]),
        (0, told.to_owned())
    );
}

#[test]
fn what_cannot_be_checked_ends_with_2() {
    let empty = Project(TempDir::new().unwrap());
    let (code, told) = empty.check(&[]);
    assert_eq!(code, 2);
    assert!(
        told.contains("name the one with the contracts: `mesh check DIR`"),
        "{told}"
    );
    let (code, told) = empty.check(&["nowhere"]);
    assert_eq!(code, 2);
    assert!(told.contains("cannot read nowhere"), "{told}");
    assert_eq!(empty.check(&["--no-such-flag"]).0, 2);
    let project = Project::new(CONTRACT);
    let (code, told) = project.check(&["--against", "main"]);
    assert_eq!(code, 2);
    assert!(told.contains("`main` is no file"), "{told}");
    project.commit();
    let (code, told) = project.check(&["--against", "--all"]);
    assert_eq!(code, 2, "{told}");
    let (code, told) = project.check(&["--against", "no-such-branch"]);
    assert_eq!(code, 2);
    assert!(told.contains("neither a file nor a revision"), "{told}");
}

#[test]
fn json_has_the_same_and_keeps_its_shape() {
    let project = Project::new(&CONTRACT.replace("{ticket_id}", "{tickt_id}"));
    let output = check(project.0.path(), &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = serde_json::json!({
        "files": 1,
        "mistakes": [{
            "file": "proto/tickets/v1/tickets.proto", "line": 9, "column": 5,
            "element": "tickets.v1.Tickets.GetTicket",
            "message": "template \"/v1/tickets/{tickt_id}\": 'tickt_id': tickets.v1.GetTicketRequest has no \
                field 'tickt_id'; did you mean 'ticket_id'?",
        }],
        "breaking": [], "warnings": [], "omitted": 0,
    });
    assert_eq!(report, expected);
}

#[test]
fn a_change_since_a_revision_breaks_callers_and_events() {
    let project = Project::new(CONTRACT);
    project.commit();
    assert_eq!(project.check(&["--against", "HEAD"]).0, 0);

    project.write(
        &CONTRACT
            .replace("string title = 2;", "int64 title = 2;")
            .replace("aggregate: \"ticket\"", "aggregate: \"issue\""),
    );
    let (code, told) = project.check(&["--against", "HEAD"]);
    let expected = "\
proto/tickets/v1/tickets.proto:19:3: error: tickets.v1.Ticket.title: FIELD_TYPE: string → int64, which breaks callers \
and events; keep the field, and add another one with a new number
proto/tickets/v1/tickets.proto:22:1: error: tickets.v1.TicketClosed: EVENT_AGGREGATE: ticket → issue, which breaks \
events; keep the option, and publish a new event
1 file: 0 mistakes, 2 breaking changes, 0 warnings
";
    assert_eq!((code, &*told), (1, expected));

    // What is staged has no part in it, and nothing is staged by the check.
    project.git(&["diff", "--cached", "--quiet"]);
}

#[test]
fn a_revision_is_read_from_a_directory_below_the_top_of_its_repository() {
    let project = Project::new(CONTRACT);
    project.commit();
    project.write(&CONTRACT.replace("  string title = 2;\n", ""));
    let below = project.0.path().join("proto");
    let output = check(&below, &[".", "--against", "HEAD"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains(
            "tickets.v1.Ticket.title: FIELD_REMOVED: title = 2 → neither present nor reserved"
        ),
        "{told}"
    );
    assert!(told.contains("reserve its number and its name"), "{told}");
}

#[test]
fn a_file_that_is_gone_breaks_what_it_declared() {
    let project = Project::new(CONTRACT);
    project.commit();
    fs::rename(project.file(), project.0.path().join("proto/other.proto")).unwrap();
    let other = "syntax = \"proto3\";\npackage other.v1;\n";
    fs::write(project.0.path().join("proto/other.proto"), other).unwrap();
    let (code, told) = project.check(&["--against", "HEAD"]);
    assert_eq!(code, 1);
    for expected in [
        "tickets/v1/tickets.proto: error: tickets.v1.Tickets.GetTicket: METHOD_REMOVED",
        "tickets/v1/tickets.proto: error: tickets.v1.TicketClosed: EVENT_REMOVED",
    ] {
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn a_directory_is_compared_with_as_a_revision_is() {
    let (old, new) = (
        Project::new(CONTRACT),
        Project::new(
            &CONTRACT
                .replace("key: \"ticket_id\"", "key: \"ticket_id2\"")
                .replace(
                    "  Ticket ticket = 2;",
                    "  Ticket ticket = 2;\n  string ticket_id2 = 3;",
                ),
        ),
    );
    let against = old.0.path().join("proto");
    let (code, told) = new.check(&["--against", against.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(
        told.contains("EVENT_KEY: ticket_id → ticket_id2, which breaks events"),
        "{told}"
    );

    let set = new.0.path().join("old.binpb");
    fs::write(&set, "no set").unwrap();
    let (code, told) = new.check(&["--against", "old.binpb"]);
    assert_eq!(code, 2);
    assert!(
        told.contains("`old.binpb` is no descriptor set that loads"),
        "{told}"
    );
}

#[test]
fn a_consumers_expectation_stops_a_change_and_names_consumer_and_field() {
    let project = Project::new(CONTRACT);
    let root = project.0.path();
    fs::write(root.join("mesh.toml"), "[project]\nname = \"desk\"\n").unwrap();
    fs::create_dir(root.join("expectations")).unwrap();
    let uses = r#"consumer = "web"
[methods."tickets.v1.Tickets/GetTicket"]
kind = "unary"
[methods."tickets.v1.Tickets/GetTicket".reads]
title = "2 string"
[events."tickets.v1.TicketClosed".reads]
"ticket.ticket_id" = "2.1 string"
"#;
    fs::write(root.join("expectations/web.toml"), uses).unwrap();
    let (code, told) = project.check(&[]);
    assert_eq!(code, 0, "{told}");

    // Legal protobuf: number and name are reserved.
    let without = "reserved 2; reserved \"title\";";
    project.write(&CONTRACT.replace("string title = 2;", without));
    let (code, told) = project.check(&[]);
    assert_eq!(code, 1, "{told}");
    let expected = "expectations/web.toml: error: tickets.v1.Tickets/GetTicket title: consumer web reads `2 string` in the response; it is gone";
    assert!(told.contains(expected), "{told}");

    project.write(&CONTRACT.replace("Ticket ticket = 2;", "Ticket ticket = 3;"));
    let (code, told) = project.check(&[]);
    assert_eq!(code, 1, "{told}");
    let expected = "tickets.v1.TicketClosed ticket.ticket_id: consumer web reads `2.1 string` in the event; it is `3.1 string` now";
    assert!(told.contains(expected), "{told}");

    // Nobody uses it.
    project.write(&CONTRACT.replace("string title = 2;", "string title = 2; string note = 3;"));
    assert_eq!(project.check(&[]).0, 0);
    fs::write(root.join("expectations/web.toml"), "consumers = 1").unwrap();
    let (code, told) = project.check(&[]);
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("expectations/web.toml"), "{told}");
}

#[test]
fn a_migration_that_the_release_before_could_not_bear_is_a_mistake() {
    let project = Project::new(CONTRACT);
    let root = project.0.path();
    let manifest = "[project]\nname = \"desk\"\n[services.tickets]\npackage = \"tickets\"\nneeds = [\"postgres\"]\n";
    fs::write(root.join("mesh.toml"), manifest).unwrap();
    let dir = root.join("services/tickets/migrations");
    fs::create_dir_all(&dir).unwrap();
    let add = |name: &str, up: &str| {
        fs::write(dir.join(format!("{name}.up.sql")), up).unwrap();
        fs::write(dir.join(format!("{name}.down.sql")), "SELECT 1").unwrap();
    };
    add("0001_ticket", "CREATE TABLE ticket (id text, title text)");
    project.commit();
    add("0002_note", "ALTER TABLE ticket ADD COLUMN note text");
    let (code, told) = project.check(&["--against", "HEAD"]);
    assert_eq!(code, 0, "{told}");

    add("0003_drop", "ALTER TABLE ticket\n    DROP COLUMN title");
    let (code, told) = project.check(&["--against", "HEAD"]);
    assert_eq!(code, 1, "{told}");
    let expected = "services/tickets/migrations/0003_drop.up.sql:1: error: `ALTER TABLE TICKET DROP COLUMN TITLE`: it drops a column that an older program uses";
    assert!(told.contains(expected), "{told}");
    // Without a release to compare with, all of them may be old.
    assert_eq!(project.check(&[]).0, 0);

    for side in ["up", "down"] {
        let name = |stem: &str| dir.join(format!("{stem}.{side}.sql"));
        fs::rename(name("0003_drop"), name("0003_contract_after_0002_drop")).unwrap();
    }
    let (_, told) = project.check(&["--against", "HEAD"]);
    assert!(
        told.contains("migration 2 belongs to the same release"),
        "{told}"
    );
    // In the release after that, it may go.
    fs::remove_file(dir.join("0003_contract_after_0002_drop.up.sql")).unwrap();
    fs::remove_file(dir.join("0003_contract_after_0002_drop.down.sql")).unwrap();
    project.git(&["add", "."]);
    project.git(&["commit", "-q", "-m", "note"]);
    add(
        "0003_contract_after_0002_drop",
        "ALTER TABLE ticket DROP COLUMN title",
    );
    let (code, told) = project.check(&["--against", "HEAD"]);
    assert_eq!(code, 0, "{told}");
    fs::remove_file(dir.join("0002_note.down.sql")).unwrap();
    let (code, told) = project.check(&[]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("expected its rollback beside it"), "{told}");
}
