//! The cost of policy: the same order with and without a token, a role, a condition, a rate limit
//! and rules of its fields; Envoy with its own filters for them beside it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use http::HeaderValue;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::{Value, json};

use super::ask::{Ask, Callers};
use super::contender::{self, Contender};
use super::envoy::Setup;
use super::load::Crowd;
use super::peer::gateway_command;
use super::process::{self, Process, Processors, free_address};
use super::upstream::Upstream;
use crate::corpus::{DESCRIPTORS, ORDER};

const ISSUER: &str = "https://issuer.bench";
const AUDIENCE: &str = "https://api.bench";
const ROLE: &str = "buyer";

/// Where the order is guarded.
const GUARDED: &str = "/v1/guarded/orders";

/// Longer than any run.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Numbers of distinct tokens, used in turn, and the case of each.
const CROWDS: [(usize, &str, &str); 3] = [
    (1, "guarded, 1 token", "envoy, 1 token"),
    (1_000, "guarded, 1,000 tokens", "envoy, 1,000 tokens"),
    (100_000, "guarded, 100,000 tokens", "envoy, 100,000 tokens"),
];

const CROWD: Crowd = Crowd {
    connections: 64,
    streams_per_connection: 1,
};

/// Programs and effort of the measurement.
#[derive(Debug)]
pub struct PolicyPlan {
    /// The gateway's program.
    pub gateway: PathBuf,
    /// Envoy's program, if available.
    pub envoy: Option<PathBuf>,
    /// Turns of each case; medians count.
    pub rounds: usize,
    /// Time of one turn.
    pub turn: Duration,
}

/// One case of the comparison.
#[derive(Debug, Serialize)]
pub struct PolicyRow {
    /// The server and its number of tokens; `open` is the gateway without policy.
    pub case: &'static str,
    /// CPU of one request, in microseconds.
    pub cpu_us_per_request: f64,
    /// Requests per second.
    pub rps: f64,
    /// CPU of the case as a part of `open`'s, turn by turn.
    pub per_open: f64,
    /// CPU of the case as a part of the gateway's with as many tokens, turn by turn.
    pub per_guarded: f64,
}

/// The issuer of all tokens.
struct Issuer {
    key: EncodingKey,
    /// A JSON Web Key Set.
    keys: String,
}

/// Measures all cases in turns.
///
/// # Errors
/// When a server does not start, or an answer is wrong.
pub fn policy(plan: &PolicyPlan) -> Result<Vec<PolicyRow>> {
    let processors = Processors::divide();
    let upstream = processors.on_load(Upstream::start)?;
    process::raise_file_limit()?;
    super::runtime()?.block_on(measure(plan, &upstream, &processors))
}

async fn measure(
    plan: &PolicyPlan,
    upstream: &Upstream,
    processors: &Processors,
) -> Result<Vec<PolicyRow>> {
    let files = tempfile::tempdir()?;
    let issuer = Issuer::generate()?;
    let (open_at, guarded_at, envoy_at) = (free_address()?, free_address()?, free_address()?);
    let mut open = gateway_command(&plan.gateway, open_at, upstream.address);
    let open = processors.on_measured(|| Process::start(&mut open))?;
    let mut guarded = guarded(plan, files.path(), guarded_at, upstream.address, &issuer)?;
    let guarded = processors.on_measured(|| Process::start(&mut guarded))?;
    let envoy = match &plan.envoy {
        None => None,
        Some(program) => {
            let mut command = envoy(program, files.path(), envoy_at, upstream.address, &issuer)?;
            Some(processors.on_measured(|| Process::start(&mut command))?)
        }
    };
    processors.stay_on_load();
    let mut entrants = vec![Contender::enter("open", open_at, &open, Ask::order()).await?];
    for (tokens, own_case, envoy_case) in CROWDS {
        let callers = Callers::new(issuer.tokens(tokens)?);
        let ask = Ask::order().by(GUARDED, callers.clone());
        entrants.push(Contender::enter(own_case, guarded_at, &guarded, ask).await?);
        if let Some(envoy) = &envoy {
            let ask = Ask::order().by(ORDER.path, callers);
            entrants.push(Contender::enter(envoy_case, envoy_at, envoy, ask).await?);
        }
    }
    contender::compete(&mut entrants, CROWD, plan.rounds, plan.turn).await?;
    let (open, pairs) = entrants.split_first().context("no one to measure")?;
    let mut rows = vec![row(open, open, open)];
    for pair in pairs.chunks(1 + usize::from(envoy.is_some())) {
        rows.extend(pair.iter().map(|own| row(own, open, &pair[0])));
    }
    Ok(rows)
}

fn row(own: &Contender<'_>, open: &Contender<'_>, guarded: &Contender<'_>) -> PolicyRow {
    PolicyRow {
        case: own.case,
        cpu_us_per_request: own.cpu_us_per_request(),
        rps: own.rps(),
        per_open: own.per(open),
        per_guarded: own.per(guarded),
    }
}

/// Returns the gateway with authentication on, and the contract from its file.
fn guarded(
    plan: &PolicyPlan,
    files: &Path,
    listen: SocketAddr,
    upstream: SocketAddr,
    issuer: &Issuer,
) -> Result<Command> {
    let (keys, config) = (files.join("keys.json"), files.join("gateway.toml"));
    fs::write(&keys, &issuer.keys)?;
    let settings = format!(
        "[authentication]\naudiences = [{AUDIENCE:?}]\n\
         [authentication.issuer.bench]\nurl = {ISSUER:?}\nalgorithms = [\"ES256\"]\n\
         jwks = {keys:?}\ntenant_claim = \"tenant\"\n"
    );
    fs::write(&config, settings)?;
    let mut command = gateway_command(&plan.gateway, listen, upstream);
    command.arg("--config").arg(config);
    command.args(["--proto", concat!(env!("CARGO_MANIFEST_DIR"), "/proto")]);
    command.env("PROTOMESH_SCHEMA__REFLECTION", "false");
    Ok(command)
}

/// Returns Envoy with filters for the token, the role and the limit. It has none for a condition on
/// the request's fields, nor for rules of them.
fn envoy(
    program: &Path,
    files: &Path,
    listen: SocketAddr,
    upstream: SocketAddr,
    issuer: &Issuer,
) -> Result<Command> {
    let descriptors = files.join("descriptors.bin");
    fs::write(&descriptors, DESCRIPTORS)?;
    Setup::transcoder(&descriptors)
        .guarded(ISSUER, AUDIENCE, &issuer.keys, ROLE)
        .command(program, files, listen, upstream)
}

// === impl Issuer ===

impl Issuer {
    fn generate() -> Result<Self> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
        let mut jwk = serde_json::to_value(jwk)?;
        jwk["kid"] = "bench".into();
        let keys = json!({ "keys": [jwk] }).to_string();
        Ok(Self { key, keys })
    }

    /// Returns the credentials of so many callers.
    fn tokens(&self, count: usize) -> Result<Arc<[HeaderValue]>> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some("bench".to_owned());
        let order: Value = serde_json::from_str(ORDER.json)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let sign = |number: usize| {
            let claims = json!({
                "iss": ISSUER, "aud": AUDIENCE, "sub": format!("caller-{number}"),
                "client_id": "bench", "jti": number.to_string(),
                "iat": now.as_secs(), "exp": (now + TOKEN_LIFE).as_secs(),
                "tenant": order["customer"], "roles": [ROLE],
            });
            let token = jsonwebtoken::encode(&header, &claims, &self.key)?;
            Ok(HeaderValue::try_from(format!("Bearer {token}"))?)
        };
        (0..count).map(sign).collect()
    }
}
