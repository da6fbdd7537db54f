//! A page in a real browser, driven by the Chrome DevTools Protocol as a person would drive it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use futures::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use integration_tests::eventually;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::browser::Browser;

/// A page that scripts are run in.
pub(crate) struct DrivenPage {
    socket: WebSocketStream<TcpStream>,
    calls: u64,
    _browser: Browser,
}

impl DrivenPage {
    /// Opens `url` in a browser of its own.
    pub(crate) async fn open(program: &PathBuf, url: &str) -> Result<Self> {
        let browser = Browser::open(program, url)?;
        let socket = eventually("the browser listens", async || {
            let port = browser.debugger().context("no port yet")?;
            let page = page(port).await?;
            let stream = TcpStream::connect(("127.0.0.1", port)).await?;
            Ok(tokio_tungstenite::client_async(page, stream).await?.0)
        });
        Ok(Self {
            socket: socket.await?,
            calls: 0,
            _browser: browser,
        })
    }

    /// Returns the value of an expression; waits for a promise.
    pub(crate) async fn value(&mut self, expression: &str) -> Result<Value> {
        self.calls += 1;
        let call = json!({
            "id": self.calls,
            "method": "Runtime.evaluate",
            "params": {"expression": expression, "returnByValue": true, "awaitPromise": true},
        });
        self.socket.send(Message::text(call.to_string())).await?;
        while let Some(message) = self.socket.next().await {
            let Message::Text(text) = message? else {
                continue;
            };
            let answer: Value = serde_json::from_str(&text)?;
            if answer["id"] != self.calls {
                continue;
            }
            let result = &answer["result"];
            ensure!(result["exceptionDetails"].is_null(), "{result}");
            return Ok(result["result"]["value"].clone());
        }
        bail!("the browser is gone")
    }

    /// Waits until an element matches a selector and its text contains `text`.
    pub(crate) async fn shows(&mut self, selector: &str, text: &str) -> Result<()> {
        let found = format!(
            "[...document.querySelectorAll({})].map((found) => found.textContent)",
            json!(selector)
        );
        eventually(&format!("`{selector}` shows `{text}`"), async || {
            let texts = self.value(&found).await?;
            let texts = texts.as_array().context("no list")?;
            let is_shown = |shown: &Value| shown.as_str().is_some_and(|shown| shown.contains(text));
            ensure!(texts.iter().any(is_shown), "{texts:?}");
            Ok(())
        })
        .await
    }

    /// Waits until no element matches a selector.
    pub(crate) async fn lacks(&mut self, selector: &str) -> Result<()> {
        let count = format!("document.querySelectorAll({}).length", json!(selector));
        eventually(&format!("`{selector}` is gone"), async || {
            let count = self.value(&count).await?;
            ensure!(count == 0, "{count} elements");
            Ok(())
        })
        .await
    }

    /// Clicks on the first element that matches a selector, as soon as there is one.
    pub(crate) async fn click(&mut self, selector: &str) -> Result<()> {
        self.shows(selector, "").await?;
        let click = format!("document.querySelector({}).click()", json!(selector));
        self.value(&click).await.map(drop)
    }

    /// Fills the first field that matches a selector, as soon as there is one.
    pub(crate) async fn fill(&mut self, selector: &str, text: &str) -> Result<()> {
        self.shows(selector, "").await?;
        let fill = format!(
            "{{ const field = document.querySelector({}); field.value = {}; \
             field.dispatchEvent(new Event('change')); }}",
            json!(selector),
            json!(text)
        );
        self.value(&fill).await.map(drop)
    }
}

/// Returns the URL of the debugger of the browser's page.
async fn page(port: u16) -> Result<String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
    let list = client.get(format!("http://127.0.0.1:{port}/json").parse()?);
    let list = list.await?.into_body().collect().await?.to_bytes();
    let targets: Value = serde_json::from_slice(&list)?;
    let mut pages = targets.as_array().into_iter().flatten();
    let page = pages.find(|target| target["type"] == "page");
    let url = page.and_then(|page| page["webSocketDebuggerUrl"].as_str());
    Ok(url.context("no page yet")?.to_owned())
}
