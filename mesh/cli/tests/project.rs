//! The command in a project of somebody else: other names, another language, no Cargo.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of tests may panic as a test may"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// An HTTP server that answers at /readyz and says what it was told about others.
const WEB: &str = r#"
import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = {name: os.environ.get(name) for name in ("GREETING", "PROTOMESH_BACK_URL")}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
host, port = os.environ["PROTOMESH_LISTEN"].split(":")
print("serving", flush=True)
open("starts-" + os.environ["NAME"], "a").write("x")
http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
"#;

const MANIFEST: &str = r#"
[project]
name = "shop"

[services.front]
command = ["python3", "services/front/main.py"]
build = [["python3", "-c", "open('built', 'a').write('x')"]]
readiness = "http"
gateway = false
calls = ["back"]
env = { GREETING = "hello", NAME = "front" }

[services.back]
command = ["python3", "services/front/main.py"]
readiness = "tcp"
gateway = false
env = { NAME = "back" }

[command.urls]
run = ["python3", "-c", "import os, sys; print(os.environ['MESH_FRONT_URL'], sys.argv[1:])"]
about = "Prints an address"
"#;

struct Shop(tempfile::TempDir);

impl Shop {
    fn new(manifest: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let front = dir.path().join("services/front");
        std::fs::create_dir_all(&front).unwrap();
        std::fs::write(front.join("main.py"), WEB).unwrap();
        std::fs::write(dir.path().join("mesh.toml"), manifest).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn mesh(&self, arguments: &[&str]) -> Output {
        let mut mesh = Command::new(env!("CARGO_BIN_EXE_mesh"));
        mesh.args(arguments).current_dir(self.path());
        mesh.stdin(Stdio::null()).output().unwrap()
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.mesh(arguments);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}{errors}");
        said
    }

    fn process(&self, name: &str) -> serde_json::Value {
        let status = self.says(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["processes"][name].clone()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.mesh(&["down"]);
    }
}

#[test]
fn services_of_any_language_are_built_started_and_wired() {
    let shop = Shop::new(MANIFEST);
    shop.says(&["up", "--detach", "--only", "front,back"]);
    let front = shop.process("front");
    let back = shop.process("back");
    assert_eq!(front["state"], "healthy");
    let url = format!("http://{}", front["address"].as_str().unwrap());
    let told = shop.says(&["urls", "one", "two"]);
    assert_eq!(told.trim(), format!("{url} ['one', 'two']"));
    let answer = Command::new("curl").args(["-s", &url]).output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["GREETING"], "hello");
    let expected = format!("http://{}", back["address"].as_str().unwrap());
    assert_eq!(answer["PROTOMESH_BACK_URL"], expected);
    assert!(shop.says(&["logs", "front"]).contains("front │ serving"));
    // No engine was needed, so none was fetched.
    assert!(!shop.path().join(".mesh/engines").exists());
}

#[test]
fn a_service_is_built_again_only_after_a_change() {
    let shop = Shop::new(MANIFEST);
    let builds = || {
        std::fs::read_to_string(shop.path().join("built"))
            .unwrap()
            .len()
    };
    shop.says(&["up", "--detach", "--only", "front"]);
    assert_eq!(builds(), 1);
    shop.says(&["restart", "front"]);
    assert_eq!(builds(), 1);
    let main = shop.path().join("services/front/main.py");
    std::fs::write(&main, format!("{WEB}\n# changed\n")).unwrap();
    shop.says(&["restart", "front"]);
    assert_eq!(builds(), 2);
}

#[test]
fn a_restart_replaces_one_process_and_leaves_the_others() {
    let shop = Shop::new(MANIFEST);
    shop.says(&["up", "--detach", "--only", "front,back"]);
    let pid = |name: &str| shop.process(name)["life"]["pid"].clone();
    let before = (pid("front"), pid("back"));
    shop.says(&["restart", "front"]);
    assert_ne!(pid("front"), before.0);
    assert_eq!(pid("back"), before.1);
}

#[test]
fn dev_restarts_what_has_changed_and_nothing_else() {
    let shop = Shop::new(MANIFEST);
    let log = std::fs::File::create(shop.path().join("dev.log")).unwrap();
    let mut dev = Command::new(env!("CARGO_BIN_EXE_mesh"))
        .args(["dev", "--only", "front,back"])
        .current_dir(shop.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let said = || std::fs::read_to_string(shop.path().join("dev.log")).unwrap();
    until("it watches", || said().contains("watching"));
    let back = shop.process("back")["life"]["pid"].clone();
    let main = shop.path().join("services/front/main.py");
    std::fs::write(&main, WEB.replace("serving", "serving again")).unwrap();
    until("front is restarted", || {
        said().contains("restarted front (")
    });
    until("its output is shown", || {
        said().contains("front │ serving again")
    });
    assert_eq!(shop.process("back")["life"]["pid"], back);
    shop.says(&["down"]);
    assert!(dev.wait().unwrap().success(), "{}", said());
    assert!(said().contains("draining and stopping"), "{}", said());
}

#[test]
fn verify_kills_every_process_under_load_and_runs_the_check() {
    // The load goes on until both services were started again.
    const LOAD: &str = r#"
import pathlib, time
def starts(name):
    path = pathlib.Path("starts-" + name)
    return len(path.read_text()) if path.exists() else 0
while min(starts("front"), starts("back")) < 2:
    time.sleep(0.02)
open("effects", "w").write("2")
"#;
    let manifest = format!(
        "{MANIFEST}\n[verify]\nload = [\"python3\", \"load.py\"]\n\
         check = [\"grep\", \"-qx\", \"EXPECTED\", \"effects\"]\n"
    );
    for (expected, code) in [("2", 0), ("3", 1)] {
        let shop = Shop::new(&manifest.replace("EXPECTED", expected));
        std::fs::write(shop.path().join("load.py"), LOAD).unwrap();
        let output = shop.mesh(&["verify", "--only", "front,back", "--seed", "7"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}{errors}");
        assert!(
            said.contains("killed front;") && said.contains("killed back;"),
            "{said}"
        );
        assert_eq!(
            errors.contains("verify.check failed"),
            code == 1,
            "{errors}"
        );
    }
}

#[test]
fn mistakes_are_told_with_the_next_thing_to_try() {
    let shop = Shop::new(&MANIFEST.replacen("readiness", "readines", 1));
    let output = shop.mesh(&["up"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [
        "mesh.toml is not valid",
        "line 8",
        "did you mean `readiness`?",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mesh"))
        .arg("status")
        .current_dir(elsewhere.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no mesh.toml in"), "{said}");
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
