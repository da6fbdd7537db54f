//! The explorer in a real browser, with comments in the contract that try to run scripts.

use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::Gateway;
use crate::support::stranger::{Reflection, Upstream, variant};

/// Each asks the gateway for a greeting when it runs, which its content security policy permits.
const SCRIPTS: [&str; 9] = [
    "</script><script>fetch('/v1/greetings/ran-script')</script>",
    "<img src=x onerror=\"fetch('/v1/greetings/ran-img')\">",
    "<svg onload=\"fetch('/v1/greetings/ran-svg')\"><script>fetch('/v1/greetings/ran-inner')</script></svg>",
    "<iframe srcdoc=\"<script>parent.fetch('/v1/greetings/ran-frame')</script>\"></iframe>",
    "<iframe src=\"javascript:parent.fetch('/v1/greetings/ran-source')\"></iframe>",
    "<details open ontoggle=\"fetch('/v1/greetings/ran-toggle')\">x</details>",
    "<form action=\"/v1/greetings/ran-form\"><button autofocus onfocus=\"this.click()\">x</button></form>",
    "[link](javascript:fetch('/v1/greetings/ran-link')) [encoded](&#106;avascript:alert(1))",
    "<a href=\"javascript:fetch('/v1/greetings/ran-anchor')\">a</a> ![i](javascript:alert(2))",
];

/// How long the page has in the browser's own time, which runs ahead while nothing happens.
const PAGE_MS: u32 = 20_000;
const PATIENCE: Duration = Duration::from_secs(90);

/// A comment that is shown and tries everything.
fn comment(name: &str, indent: &str) -> String {
    let lines = SCRIPTS
        .iter()
        .map(|script| format!("{indent}// {script}\n{indent}//\n"));
    format!(
        "{indent}// {name} is shown.\n{indent}//\n{}",
        lines.collect::<String>()
    )
}

async fn upstream() -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let commented = |name: &str, indent: &str, line: &str| comment(name, indent) + line;
    let descriptors = variant(&[
        (
            "service StrangerService {",
            &commented("The-service", "", "service StrangerService {"),
        ),
        (
            "  rpc Greet(GreetRequest)",
            &commented("The-method", "  ", "  rpc Greet(GreetRequest)"),
        ),
        (
            "  string name = 1 [(buf.validate.field).string.max_bytes = 100];",
            &commented(
                "The-field",
                "  ",
                "  string name = 1 [(buf.validate.field).string.max_bytes = 100];",
            ),
        ),
    ]);
    Upstream::serve(listener, descriptors, Reflection::V1)
}

/// The page as the browser shows it; `None` without a browser, which CI must have.
async fn shown(url: &str) -> Option<String> {
    let profile = tempfile::tempdir().unwrap();
    let browser = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--virtual-time-budget={PAGE_MS}"))
        .args(["--dump-dom", url])
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, browser).await;
    let output = output.unwrap_or_else(|_| panic!("the browser: not within {PATIENCE:?}"));
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "chromium: {error}");
            return None;
        }
    };
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The tags of a page, which is everything in angle brackets: in texts these are escaped.
fn tags(page: &str) -> Vec<String> {
    let starts = page.split('<').skip(1);
    let tags = starts.filter_map(|rest| rest.split_once('>'));
    tags.map(|(tag, _)| tag.to_ascii_lowercase()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_of_a_contract_run_nothing() {
    let upstream = upstream().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let document = gateway.get("/openapi.json").await.json();
    let operation = &document["paths"]["/v1/greetings/{name}"]["get"];
    let text = document.to_string();
    for name in ["The-service", "The-method", "The-field"] {
        assert!(text.contains(name), "{name} is not in the document");
    }
    let (tag, id) = (&operation["tags"][0], &operation["operationId"]);
    let (tag, id) = (tag.as_str().unwrap(), id.as_str().unwrap());
    let url = format!("http://{}/docs/#/{tag}/{id}", gateway.address);
    let Some(page) = shown(&url).await else {
        return;
    };
    for name in ["The-service", "The-method", "The-field"] {
        assert!(page.contains(name), "{name} is not shown: {page}");
    }
    for tag in tags(&page) {
        let name = tag.split([' ', '/']).next().unwrap();
        let is_ours = tag.starts_with("script src=\"");
        assert!(name != "script" || is_ours, "{tag}");
        assert!(
            !["iframe", "object", "embed", "base"].contains(&name),
            "{tag}"
        );
        for handler in [
            " onerror",
            " onload",
            " ontoggle",
            " onfocus",
            "javascript:",
        ] {
            assert!(!tag.contains(handler), "{tag}");
        }
    }
    assert_eq!(upstream.greeted(), Vec::<String>::new(), "a script ran");
}
