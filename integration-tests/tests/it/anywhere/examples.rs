//! Every example of the OpenAPI document of the mesh, sent to the mesh as it is: none is refused as
//! malformed or as a breach of rules.

use anyhow::{Context, Result, ensure};
use http::Method;
use integration_tests::Mesh;
use serde_json::Value;

/// A request that the document shows.
#[derive(Debug)]
pub(crate) struct Example {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) content_type: Option<String>,
    pub(crate) body: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_document_is_accepted() -> Result<()> {
    let mesh = Mesh::reach().await?;
    // Some streams end only then.
    let http = mesh.http()?.with("request-timeout", "3");
    let document = http
        .get("/openapi.json", "application/json")
        .await?
        .json()?;
    let paths = document["paths"].as_object().context("paths")?;
    let mut sent = 0;
    let mut refused = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().context("operations")? {
            let method: Method = method.to_ascii_uppercase().parse()?;
            for example in examples(&method, path, operation)? {
                let reply = http
                    .call(
                        example.method.as_str(),
                        &example.target,
                        example.content_type.as_deref(),
                        example.body.clone(),
                    )
                    .await?;
                sent += 1;
                let text = reply.text();
                let is_malformed = ["\"code\":3,", "\"invalid_argument\""];
                let is_refused = is_malformed.iter().any(|code| text.contains(code))
                    || [404, 405, 415].contains(&reply.status.as_u16()) && text.contains("ROUTE_");
                if is_refused || reply.status == 415 {
                    refused.push(format!("{example:?}: {} {text}", reply.status));
                }
            }
        }
    }
    ensure!(refused.is_empty(), "{}", refused.join("\n\n"));
    // Each method has at least one. Those of the issuer run where callers need tokens.
    let methods = protos::METHODS.iter();
    let methods = methods.filter(|method| !method.path.starts_with("/identity."));
    ensure!(sent >= methods.count(), "{sent} examples only");
    Ok(())
}

/// Returns a request for each body of an operation, or the only one without a body.
pub(crate) fn examples(method: &Method, path: &str, operation: &Value) -> Result<Vec<Example>> {
    let mut target = path.to_owned();
    let mut query = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().context("name")?;
        let example = match (&parameter["example"], &parameter["schema"]["examples"][0]) {
            (Value::Null, example) | (example, _) => example,
        };
        if example.is_null() {
            ensure!(
                parameter["required"] != true,
                "{path}: no example of {name}"
            );
            continue;
        }
        if parameter["in"] == "path" {
            target = target.replace(&format!("{{{name}}}"), &escaped(&text(example)));
        } else {
            let values = match example.as_array() {
                Some(items) => items.iter().map(text).collect(),
                None => vec![text(example)],
            };
            let pairs = values
                .iter()
                .map(|value| format!("{name}={}", escaped(value)));
            query.extend(pairs);
        }
    }
    if !query.is_empty() {
        target = format!("{target}?{}", query.join("&"));
    }
    let mut found = Vec::new();
    let content = operation["requestBody"]["content"].as_object();
    for (content_type, media) in content.into_iter().flatten() {
        let is_raw = content_type == "application/octet-stream";
        let bodies = media["examples"].as_object();
        let bodies = bodies.into_iter().flat_map(|bodies| bodies.values());
        let mut bodies: Vec<String> = bodies
            .map(|example| match &example["value"] {
                Value::String(lines) if content_type != "application/json" => lines.clone(),
                value => value.to_string(),
            })
            .collect();
        ensure!(
            is_raw || !bodies.is_empty(),
            "{path}: no body of {content_type}"
        );
        if is_raw {
            bodies.push(String::new());
        }
        found.extend(bodies.into_iter().map(|body| Example {
            method: method.clone(),
            target: target.clone(),
            content_type: Some(content_type.clone()),
            body,
        }));
    }
    if found.is_empty() {
        found.push(Example {
            method: method.clone(),
            target,
            content_type: None,
            body: String::new(),
        });
    }
    Ok(found)
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let escape = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}
