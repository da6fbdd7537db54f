//! The landing page: where everything is, which methods there are, and lines to copy.

use std::fmt::Write;

use contract::MethodKind;
use openapi::Request;
use serde::Serialize;

use crate::html::{escaped, word};
use crate::page::{Page, tag};

/// Methods that the page lists: with more of them people search in the explorer.
const MAX_METHODS: usize = 500;

const STYLE: &str = include_str!("landing.css");

/// Allows the one style sheet above, by its hash, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'sha256-XoQV+ccpv5wK4yI56C/98/BRm4HgXK5GkSgdDYva6a8='; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// Facts for a landing page.
#[derive(Debug)]
pub struct Landing<'a> {
    /// Name of the API.
    pub title: &'a str,
    /// Scheme, host and port at which the page was asked for.
    pub origin: &'a str,
    /// An example request of each method, services one after the other.
    pub requests: &'a [Request],
    /// There is `/docs/`.
    pub has_explorer: bool,
    /// There is `/openapi.json`.
    pub has_document: bool,
    /// There is `/metrics`.
    pub has_metrics: bool,
}

#[derive(Serialize)]
struct Told<'a> {
    title: &'a str,
    links: Vec<Link>,
    services: Vec<ToldService<'a>>,
}

#[derive(Serialize)]
struct Link {
    name: &'static str,
    /// Relative, so that a prefix which a proxy has taken away stays.
    url: &'static str,
}

#[derive(Serialize)]
struct ToldService<'a> {
    name: &'a str,
    methods: Vec<ToldMethod<'a>>,
}

#[derive(Serialize)]
struct ToldMethod<'a> {
    name: &'a str,
    kind: &'static str,
    summary: &'a str,
    http_method: &'a str,
    path: &'a str,
}

// === impl Landing ===

impl Landing<'_> {
    /// Returns the page for people.
    pub fn html(&self) -> Page {
        let title = escaped(self.title);
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
             <p>One port for REST with JSON, streams, WebSocket, gRPC-Web, Connect and gRPC.</p>\n<nav>"
        );
        for link in self.links() {
            let _ = write!(out, "<a href=\"{}\">{}</a>", link.url, link.name);
        }
        out.push_str("</nav>\n");
        self.put_first_lines(&mut out);
        if self.requests.is_empty() {
            out.push_str("<p>No upstream is known yet: see <a href=\"readyz\">readyz</a>.</p>\n");
        }
        for service in self
            .requests
            .chunk_by(|one, next| one.service == next.service)
        {
            self.put_service(service, &mut out);
        }
        out.push_str("</body>\n</html>\n");
        let content = out.into_bytes();
        let page = Page::new("text/html; charset=utf-8", tag(&[&content]), content.into());
        page.shown(POLICY)
    }

    /// Returns the same for programs.
    pub fn json(&self) -> Page {
        let services = self
            .requests
            .chunk_by(|one, next| one.service == next.service);
        let told = Told {
            title: self.title,
            links: self.links(),
            services: services.map(ToldService::of).collect(),
        };
        let content = serde_json::to_vec(&told).unwrap_or_default();
        Page::new("application/json", tag(&[&content]), content.into())
    }

    fn links(&self) -> Vec<Link> {
        let all = [
            (self.has_explorer, "Explorer", "docs/"),
            (self.has_document, "OpenAPI", "openapi.json"),
            (self.has_metrics, "Metrics", "metrics"),
            (true, "Ready", "readyz"),
            (true, "Live", "healthz"),
        ];
        let there = all.into_iter().filter(|(is_there, ..)| *is_there);
        there.map(|(_, name, url)| Link { name, url }).collect()
    }

    /// Appends the lines that show all of the API.
    fn put_first_lines(&self, out: &mut String) {
        let host = self.grpc_host();
        let mut lines = format!("grpcurl {host} list\n");
        if self.has_document {
            let url = word(&format!("{}/openapi.json", self.origin));
            let _ = writeln!(lines, "curl {url}");
        }
        put_lines(&lines, out);
    }

    fn put_service(&self, service: &[Request], out: &mut String) {
        let name = service.first().map_or("", |first| &*first.service);
        let _ = writeln!(out, "<h2>{}</h2>", escaped(name));
        let listed = self.requests.len().min(MAX_METHODS);
        for request in service.iter().take(listed) {
            let kind = request.kind.name();
            let kind = if kind == "unary" {
                String::new()
            } else {
                format!("<i>{kind}</i>")
            };
            let _ = write!(
                out,
                "<details><summary><b>{}</b><code>{} {}</code>{kind}</summary><div>",
                escaped(&request.method),
                escaped(&request.http_method),
                escaped(&request.template),
            );
            if !request.summary.is_empty() {
                let _ = write!(out, "<p>{}</p>", escaped(&request.summary));
            }
            if let Some(line) = self.curl(request) {
                put_lines(&line, out);
            }
            put_lines(&self.grpcurl(request), out);
            out.push_str("</div></details>\n");
        }
        if let more @ 1.. = service.len().saturating_sub(listed) {
            let _ = writeln!(out, "<p>and {more} more methods</p>");
        }
    }

    /// Returns the request as a line of curl; `None` where no example is known.
    fn curl(&self, request: &Request) -> Option<String> {
        if request.target.is_empty() {
            return None;
        }
        let mut line = "curl".to_owned();
        let is_client_stream = matches!(
            request.kind,
            MethodKind::ClientStreaming | MethodKind::BidiStreaming
        );
        if matches!(
            request.kind,
            MethodKind::ServerStreaming | MethodKind::BidiStreaming
        ) {
            // As they come.
            line.push_str(" -N");
        }
        match &*request.http_method {
            "GET" | "*" => {}
            "POST" if request.body.is_some() => {}
            other => {
                let _ = write!(line, " -X {}", word(other));
            }
        }
        if let Some(body) = &request.body {
            let media = if is_client_stream { "x-ndjson" } else { "json" };
            let _ = write!(
                line,
                " -H 'content-type: application/{media}' -d {}",
                word(body)
            );
        }
        let url = format!("{}{}", self.origin, request.target);
        let _ = write!(line, " {}", word(&url));
        Some(line)
    }

    fn grpcurl(&self, request: &Request) -> String {
        let host = self.grpc_host();
        let message = match &*request.message {
            "" | "{}" => String::new(),
            message => format!("-d {} ", word(message)),
        };
        let method = format!("{}/{}", request.service, request.method);
        format!("grpcurl {message}{host} {}", word(&method))
    }

    /// Returns the host as grpcurl wants it.
    fn grpc_host(&self) -> String {
        match self.origin.split_once("://") {
            Some(("https", host)) => word(&with_port(host, 443)),
            Some((_, host)) => format!("-plaintext {}", word(&with_port(host, 80))),
            None => format!("-plaintext {}", word(self.origin)),
        }
    }
}

// === impl ToldService ===

impl<'a> ToldService<'a> {
    fn of(service: &'a [Request]) -> Self {
        let methods = service.iter().map(|request| ToldMethod {
            name: &request.method,
            kind: request.kind.name(),
            summary: &request.summary,
            http_method: &request.http_method,
            path: &request.template,
        });
        Self {
            name: service.first().map_or("", |first| &first.service),
            methods: methods.collect(),
        }
    }
}

fn put_lines(lines: &str, out: &mut String) {
    let _ = write!(out, "<pre>{}</pre>", escaped(lines.trim_end()));
}

fn with_port(host: &str, port: u16) -> String {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| {
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    match has_port {
        true => host.to_owned(),
        false => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest, Sha256};

    use super::*;

    fn request(method: &str, kind: MethodKind) -> Request {
        Request {
            service: "shop.v1.Orders".to_owned(),
            method: method.to_owned(),
            summary: "Does <it>.".to_owned(),
            kind,
            http_method: "POST".to_owned(),
            template: "/v1/orders".to_owned(),
            target: "/v1/orders?dry=true".to_owned(),
            body: Some(r#"{"note":"it's"}"#.to_owned()),
            message: r#"{"note":"it's","dry":true}"#.to_owned(),
        }
    }

    fn page(origin: &str, requests: &[Request]) -> String {
        let landing = Landing {
            title: "Shop",
            origin,
            requests,
            has_explorer: true,
            has_document: true,
            has_metrics: false,
        };
        String::from_utf8(landing.html().content().to_vec()).unwrap()
    }

    #[test]
    fn the_policy_allows_the_style_sheet_of_the_page() {
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "{hash}");
    }

    #[test]
    fn every_method_has_lines_to_copy() {
        let requests = [
            request("Place", MethodKind::Unary),
            request("Feed", MethodKind::BidiStreaming),
        ];
        let page = page("http://127.0.0.1:8080", &requests);
        for line in [
            r#"curl -H 'content-type: application/json' -d '{"note":"it'\''s"}' 'http://127.0.0.1:8080/v1/orders?dry=true'"#,
            r#"curl -N -H 'content-type: application/x-ndjson' -d"#,
            r#"grpcurl -d '{"note":"it'\''s","dry":true}' -plaintext 127.0.0.1:8080 shop.v1.Orders/Place"#,
            "grpcurl -plaintext 127.0.0.1:8080 list",
        ] {
            assert!(page.contains(&escaped(line)), "{line} is missing: {page}");
        }
        assert!(page.contains("href=\"docs/\"") && !page.contains("href=\"metrics\""));
    }

    #[test]
    fn texts_of_others_are_text() {
        let page = page(
            "http://a\"><script>",
            &[request("Place", MethodKind::Unary)],
        );
        assert!(
            !page.contains("<script") && !page.contains("<it>"),
            "{page}"
        );
    }

    #[test]
    fn a_host_with_tls_is_called_with_it() {
        let page = page(
            "https://shop.example",
            &[request("Place", MethodKind::Unary)],
        );
        assert!(page.contains("grpcurl shop.example:443 list"), "{page}");
    }

    #[test]
    fn an_api_that_is_not_known_yet_says_where_to_look() {
        assert!(page("http://a", &[]).contains("href=\"readyz\""));
    }

    #[test]
    fn programs_get_the_same_as_json() {
        let requests = [request("Place", MethodKind::Unary)];
        let landing = Landing {
            title: "Shop",
            origin: "http://a",
            requests: &requests,
            has_explorer: false,
            has_document: true,
            has_metrics: true,
        };
        let told: serde_json::Value = serde_json::from_slice(landing.json().content()).unwrap();
        assert_eq!(told["title"], "Shop");
        assert_eq!(told["links"][0]["url"], "openapi.json");
        assert_eq!(told["services"][0]["methods"][0]["path"], "/v1/orders");
    }
}
