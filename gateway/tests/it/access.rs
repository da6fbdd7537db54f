//! Callers: every rule of a contract, for every kind of caller, of every method in every
//! protocol. What is denied never reaches the upstream.

mod calls;
mod trail;

use std::collections::BTreeSet;
use std::time::SystemTime;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Code;

use crate::grpc_web::frame;
use crate::support::issuer::{AUDIENCE, Issuer, SigningKey};
use crate::support::messages::GreetRequest;
use crate::support::process::GatewayProcess;
use crate::support::stranger::{PROTOS, Upstream};
use crate::support::{Gateway, layers};
use calls::{Outcome, PROTOCOLS, Protocol, call};

/// The methods of the contract and the field by which its condition knows the tenant.
const METHODS: [(&str, &str); 6] = [
    ("Greet", "request.name"),
    ("Count", "string(request.to)"),
    ("Store", "request.name"),
    ("Fetch", "request.name"),
    ("Chat", "request.name"),
    ("Gather", "request.name"),
];

/// A gateway that authenticates, before an upstream whose methods all have one rule.
struct Guarded {
    issuer: Issuer,
    key: SigningKey,
    upstream: Upstream,
    gateway: Gateway,
    _contract: TempDir,
}

impl Guarded {
    /// `rule` makes the option of each method, of the field that has its tenant.
    async fn start(rule: impl Fn(&str) -> Option<String>, more: &str) -> Self {
        let key = SigningKey::generate(Algorithm::ES256, "one");
        let issuer = Issuer::start(&[&key]).await;
        let upstream = Upstream::start().await;
        let contract = contract(rule);
        let file = format!(
            "{more}\n[authentication]\naudiences = [\"{AUDIENCE}\"]\n\
             [authentication.issuer.test]\nurl = \"{}\"\nalgorithms = [\"ES256\"]\n\
             tenant_claim = \"tenant\"\n",
            issuer.url()
        );
        let keys = [("schema.descriptors", contract.path().to_str().unwrap())];
        let gateway = Gateway::configured(layers(&[upstream.address], &keys, &file)).await;
        gateway.wait_until_ready().await;
        Self {
            issuer,
            key,
            upstream,
            gateway,
            _contract: contract,
        }
    }

    fn bearer(&self, caller: Caller) -> Option<String> {
        let mut claims = self.issuer.claims(SystemTime::now());
        for (name, value) in caller.claims()?.as_object().unwrap() {
            claims[name] = value.clone();
        }
        Some(format!("Bearer {}", self.key.sign(&claims)))
    }

    async fn ask(&self, path: &str, caller: Caller) -> crate::support::Reply {
        let mut request = Request::get(path);
        if let Some(bearer) = self.bearer(caller) {
            request = request.header("authorization", bearer);
        }
        self.gateway.ask(request).await
    }
}

/// Returns a directory with the stranger's contract, each method with its rule.
fn contract(rule: impl Fn(&str) -> Option<String>) -> TempDir {
    let path = "stranger/v1/stranger_service.proto";
    let mut text = std::fs::read_to_string(format!("{PROTOS}/{path}")).unwrap();
    let mut replace = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    };
    let import = "import \"google/protobuf/any.proto\";";
    replace(
        import,
        &format!("{import}\nimport \"mesh/v1/options.proto\";"),
    );
    // A WebSocket has no method to tell it from `Store`.
    let custom =
        "custom: {\n          kind: \"HEAD\"\n          path: \"/v1/heads/{name}\"\n        }";
    replace(custom, "get: \"/v1/fetches/{name}\"");
    for (method, field) in METHODS {
        let Some(option) = rule(field) else { continue };
        let start = format!("rpc {method}(");
        let option = format!("option (mesh.v1.access) = {{{option}}};");
        let (before, rest) = text.split_once(&start).unwrap();
        let (signature, rest) = rest.split_once('{').unwrap();
        text = format!("{before}{start}{signature}{{ {option}{rest}");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
    directory
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Caller {
    Anonymous,
    WrongRole,
    Right,
    OtherTenant,
}

const CALLERS: [Caller; 4] = [
    Caller::Anonymous,
    Caller::WrongRole,
    Caller::Right,
    Caller::OtherTenant,
];

impl Caller {
    fn claims(self) -> Option<Value> {
        Some(match self {
            Self::Anonymous => return None,
            Self::WrongRole => json!({"roles": ["viewer"], "scope": "orders:read", "tenant": "7"}),
            Self::Right => json!({"roles": ["clerk"], "scope": "orders:write", "tenant": "7"}),
            Self::OtherTenant => {
                json!({"roles": ["clerk"], "scope": "orders:write", "tenant": "8"})
            }
        })
    }
}

/// Sends every call of the contract in every protocol by every caller, and compares.
async fn assert_decides(rule: impl Fn(&str) -> Option<String>, expected: [&str; 4]) {
    let guarded = Guarded::start(rule, "").await;
    let mut sent = BTreeSet::new();
    for (caller, expected) in CALLERS.into_iter().zip(expected) {
        let bearer = guarded.bearer(caller);
        for (method, _) in METHODS {
            for protocol in PROTOCOLS {
                guarded.upstream.observed.received.lock().unwrap().clear();
                let outcome = call(&guarded.gateway, method, protocol, bearer.as_deref()).await;
                let has_arrived = !guarded.upstream.received().is_empty();
                let case = format!("{caller:?} {method} {protocol:?}: {outcome:?}");
                assert_eq!(outcome.reason(), expected, "{case}");
                assert_eq!(has_arrived, expected == "OK", "{case}");
                assert_fits(&outcome, protocol, &case);
                sent.insert((method, format!("{protocol:?}")));
            }
        }
    }
    assert_eq!(sent.len(), METHODS.len() * PROTOCOLS.len());
}

/// Checks that code and HTTP status are those of the reason.
fn assert_fits(outcome: &Outcome, protocol: Protocol, case: &str) {
    let (code, http) = match outcome.reason() {
        "OK" => (Code::Ok, 200),
        "CREDENTIALS_REQUIRED" => (Code::Unauthenticated, 401),
        _ => (Code::PermissionDenied, 403),
    };
    if let Some(found) = outcome.grpc_status {
        assert_eq!(found, code as i32, "{case}");
    }
    if protocol == Protocol::Rest || (protocol == Protocol::Connect && outcome.is_unary) {
        assert_eq!(outcome.http, http, "{case}");
    }
}

#[tokio::test]
async fn a_public_method_is_everyones() {
    assert_decides(|_| Some("public: true".to_owned()), ["OK"; 4]).await;
}

#[tokio::test]
async fn an_authenticated_method_needs_a_credential() {
    let rule = |_: &str| Some("authenticated: true".to_owned());
    assert_decides(rule, ["CREDENTIALS_REQUIRED", "OK", "OK", "OK"]).await;
}

#[tokio::test]
async fn a_method_with_roles_needs_one_of_them() {
    let rule = |_: &str| Some("roles: [\"admin\", \"clerk\"]".to_owned());
    let expected = ["CREDENTIALS_REQUIRED", "MISSING_ROLE", "OK", "OK"];
    assert_decides(rule, expected).await;
}

#[tokio::test]
async fn a_method_with_scopes_needs_all_of_them() {
    let rule = |_: &str| Some("scopes: \"orders:write\"".to_owned());
    let expected = ["CREDENTIALS_REQUIRED", "MISSING_SCOPE", "OK", "OK"];
    assert_decides(rule, expected).await;
}

#[tokio::test]
async fn the_challenge_of_a_missing_scope_names_all_that_the_method_needs() {
    let rule = |_: &str| Some("scopes: [\"orders:write\", \"orders:admin\"]".to_owned());
    let guarded = Guarded::start(rule, "").await;
    let reply = guarded.ask("/v1/greetings/7", Caller::Right).await;
    reply.assert_error(403, Code::PermissionDenied, "MISSING_SCOPE");
    assert_eq!(
        reply.header("www-authenticate"),
        "Bearer error=\"insufficient_scope\", \
         error_description=\"the credential lacks a scope\", scope=\"orders:write orders:admin\""
    );
    // Another 403 has none: no credential with more scopes would help.
    let guarded = Guarded::start(|_| Some("roles: \"admin\"".to_owned()), "").await;
    let reply = guarded.ask("/v1/greetings/7", Caller::Right).await;
    reply.assert_error(403, Code::PermissionDenied, "MISSING_ROLE");
    assert_eq!(reply.header("www-authenticate"), "");
}

#[tokio::test]
async fn a_condition_is_about_the_first_message() {
    let rule = |field: &str| {
        Some(format!(
            "authenticated: true condition: \"{field} == identity.tenant\""
        ))
    };
    let expected = ["CREDENTIALS_REQUIRED", "OK", "OK", "CONDITION_NOT_MET"];
    assert_decides(rule, expected).await;
}

#[tokio::test]
async fn a_method_that_says_nothing_is_nobodys() {
    assert_decides(|_| None, ["NO_ACCESS_RULE"; 4]).await;
}

#[tokio::test]
async fn a_condition_reads_compressed_messages_and_counts_none_as_empty() {
    let rule = |field: &str| {
        Some(format!(
            "authenticated: true condition: \"{field} == identity.tenant\""
        ))
    };
    let guarded = Guarded::start(rule, "").await;
    let message = GreetRequest {
        name: "7".to_owned(),
        ..Default::default()
    };
    let compressed = calls::gzipped(&frame(&message)[5..]);
    // This upstream takes no compressed messages, so its refusal shows that it was asked.
    const ASKED: &str = "FAILED";
    for (path, caller, body, expected) in [
        ("Greet", Caller::Right, compressed.clone(), ASKED),
        (
            "Greet",
            Caller::OtherTenant,
            compressed.clone(),
            "CONDITION_NOT_MET",
        ),
        ("Chat", Caller::Right, compressed.clone(), ASKED),
        ("Chat", Caller::OtherTenant, compressed, "CONDITION_NOT_MET"),
        ("Chat", Caller::Right, Vec::new(), "CONDITION_NOT_MET"),
    ] {
        let request = Request::post(format!("/stranger.v1.StrangerService/{path}"))
            .header("content-type", "application/grpc")
            .header("grpc-encoding", "gzip")
            .header("authorization", guarded.bearer(caller).unwrap());
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let outcome = Outcome::of(&guarded.gateway.send(request).await, false);
        assert_eq!(outcome.reason(), expected, "{path} {caller:?} {outcome:?}");
    }
}

#[tokio::test]
async fn selectors_decide_as_the_contract_does() {
    let more = "[[schema.policies]]\nselector = \"stranger.v1.StrangerService.*\"\naccess = { roles = [\"clerk\"] }\n\
                [[schema.policies]]\nselector = \"stranger.v1.StrangerService.Count\"\naccess = { public = true }\n";
    let guarded = Guarded::start(|_| None, more).await;
    for (path, caller, status) in [
        ("/v1/greetings/7", Caller::Anonymous, 401),
        ("/v1/greetings/7", Caller::WrongRole, 403),
        ("/v1/greetings/7", Caller::Right, 200),
        ("/v1/counts/7", Caller::Anonymous, 200),
    ] {
        assert_eq!(
            guarded.ask(path, caller).await.status,
            status,
            "{path} {caller:?}"
        );
    }
}

#[tokio::test]
async fn a_denial_names_what_is_missing() {
    let guarded = Guarded::start(|_| Some("roles: \"admin\"".to_owned()), "").await;
    let reply = guarded.ask("/v1/greetings/7", Caller::Right).await;
    reply.assert_error(403, Code::PermissionDenied, "MISSING_ROLE");
    let detail = &reply.json()["details"][0];
    assert_eq!(detail["metadata"], json!({"roles": "admin"}));
    let reply = guarded.ask("/v1/greetings/7", Caller::Anonymous).await;
    reply.assert_error(401, Code::Unauthenticated, "CREDENTIALS_REQUIRED");
    assert!(reply.header("www-authenticate").starts_with("Bearer"));
    // A path that nothing serves is told to everyone.
    assert_eq!(
        guarded.ask("/v1/nothing", Caller::Anonymous).await.status,
        404
    );
}

/// Pages about the API, and server reflection.
async fn page_statuses(guarded: &Guarded, caller: Caller, host: &str) -> Vec<u16> {
    let mut found = Vec::new();
    let bearer = guarded.bearer(caller);
    for path in ["/", "/docs", "/docs/", "/openapi.json"] {
        let mut request = Request::get(path).header("host", host);
        if let Some(bearer) = &bearer {
            request = request.header("authorization", bearer);
        }
        found.push(guarded.gateway.ask(request).await.status.as_u16());
    }
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let mut request = Request::post(path)
        .header("host", host)
        .header("content-type", "application/grpc");
    if let Some(bearer) = &bearer {
        request = request.header("authorization", bearer);
    }
    let reply = guarded
        .gateway
        .send(request.body(Full::default()).unwrap())
        .await;
    found.push(reply.header("grpc-status").parse().unwrap_or(0));
    found
}

#[tokio::test]
async fn pages_and_reflection_have_a_key_of_their_own() {
    const OPEN: [u16; 5] = [200, 308, 200, 200, 0];
    const UNKNOWN: [u16; 5] = [401, 401, 401, 401, 16];
    const FORBIDDEN: [u16; 5] = [403, 403, 403, 403, 7];
    let (here, elsewhere) = ("localhost", "api.example");
    for (key, expected) in [
        ("", [OPEN, UNKNOWN, OPEN, OPEN]),
        ("pages = \"authenticated\"", [UNKNOWN, UNKNOWN, OPEN, OPEN]),
        ("pages = \"public\"", [OPEN; 4]),
        (
            "pages = \"authenticated\"\npage_roles = [\"clerk\"]",
            [UNKNOWN, UNKNOWN, FORBIDDEN, OPEN],
        ),
    ] {
        let more = format!("[authorization]\n{key}");
        let guarded = Guarded::start(|_| None, &more).await;
        for ((caller, host), expected) in [
            (Caller::Anonymous, here),
            (Caller::Anonymous, elsewhere),
            (Caller::WrongRole, elsewhere),
            (Caller::Right, elsewhere),
        ]
        .into_iter()
        .zip(expected)
        {
            let found = page_statuses(&guarded, caller, host).await;
            assert_eq!(found, expected, "{key} {caller:?} {host}");
        }
        assert_eq!(guarded.gateway.get("/healthz").await.status, 200);
    }
}

#[tokio::test]
async fn an_explanation_decides_about_any_caller() {
    let rule = |field: &str| {
        Some(format!(
            "roles: \"clerk\" condition: \"{field} == identity.tenant\""
        ))
    };
    let guarded = Guarded::start(rule, "").await;
    for (caller, path, expected) in [
        (
            "-",
            "/v1/greetings/7",
            "CREDENTIALS_REQUIRED: the call needs a credential",
        ),
        (
            "bob",
            "/v1/greetings/7",
            "MISSING_ROLE: the caller needs the role `clerk`",
        ),
        ("bob,role=clerk,tenant=7", "/v1/greetings/7", "ALLOWED"),
        (
            "bob,role=clerk,tenant=8",
            "/v1/greetings/7",
            "CONDITION_NOT_MET: the condition of the method does not hold for this call",
        ),
    ] {
        let asked = format!("/-/explain?path={path}&as={}", caller.replace('=', "%3D"));
        let answer = guarded.gateway.get(&asked).await.json();
        let policies = &answer["policies"];
        assert_eq!(policies["decision"], expected, "{caller}");
        assert_eq!(
            policies["access"],
            "role clerk; if request.name == identity.tenant"
        );
    }
    let unasked = guarded.gateway.get("/-/explain?path=/v1/greetings/7").await;
    assert_eq!(unasked.json()["policies"]["decision"], Value::Null);
}

#[tokio::test]
async fn a_document_shows_whom_methods_let_in() {
    let more = "[[schema.policies]]\nselector = \"stranger.v1.StrangerService.Count\"\naccess = { public = true }\n\
                [[schema.policies]]\nselector = \"stranger.v1.StrangerService.Greet\"\n\
                access = { roles = [\"clerk\"], scopes = [\"read\"], condition = \"request.name == 'a'\" }\n";
    let guarded = Guarded::start(|_| None, more).await;
    let document = guarded.ask("/openapi.json", Caller::Right).await.json();
    let scheme = &document["components"]["securitySchemes"]["bearer"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
    let greet = &document["paths"]["/v1/greetings/{name}"]["get"];
    assert_eq!(greet["security"], json!([{"bearer": ["clerk", "read"]}]));
    let option =
        json!({"roles": ["clerk"], "scopes": ["read"], "condition": "request.name == 'a'"});
    assert_eq!(greet["x-access"], option);
    let count = &document["paths"]["/v1/counts/{to}"]["get"];
    assert_eq!(count["security"], json!([]));
    let chat = &document["paths"]["/v1/chats"]["post"];
    assert_eq!(chat["x-access"], json!({"nobody": true}));
    // Without authentication nothing is enforced, and nothing shown.
    let open = Gateway::ready(&[guarded.upstream.address]).await;
    let document = open.get("/openapi.json").await.json();
    assert_eq!(document["components"]["securitySchemes"], Value::Null);
    assert_eq!(open.get("/v1/greetings/7").await.status, 200);
}

#[tokio::test]
async fn the_log_has_the_decision_and_names_no_subject() {
    let key = SigningKey::generate(Algorithm::RS256, "one");
    let issuer = Issuer::start(&[&key]).await;
    let upstream = Upstream::start().await;
    let contract = contract(|_| Some("roles: \"admin\"".to_owned()));
    let url = issuer.url();
    let gateway = GatewayProcess::start(
        &upstream,
        &[
            ("ACCESS_LOG__REQUESTS", "all"),
            ("SCHEMA__DESCRIPTORS", contract.path().to_str().unwrap()),
            ("AUTHENTICATION__AUDIENCES", AUDIENCE),
            ("AUTHENTICATION__ISSUER__TEST__URL", &url),
        ],
    )
    .await;
    for (role, decision) in [("admin", "ALLOWED"), ("clerk", "MISSING_ROLE")] {
        let mut claims = issuer.claims(SystemTime::now());
        claims["roles"] = json!([role]);
        let bearer = format!("Bearer {}", key.sign(&claims));
        let request = Request::get("/v1/greetings/7").header("authorization", bearer);
        gateway.send(request.body(Full::default()).unwrap()).await;
        let is_it = |line: &Value| line["target"] == "access" && line["decision"] == decision;
        let line = gateway.line(decision, is_it).await;
        let digest = line["caller"]
            .as_str()
            .unwrap()
            .strip_prefix(&format!("{url}#"));
        assert_eq!(digest.map(str::len), Some(16), "{line}");
    }
    let log = format!("{:?}", gateway.lines());
    assert!(!log.contains("alice"), "{log}");
}
