//! Shared parts of the tests: a gateway in front of a scripted upstream, which it knows from a
//! descriptor file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use chassis::Process;
use chassis::config::{Layers, Sources};
use hostile::{Call, Options, Script, Step, Upstream, grpc};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// How long a call may take before it counts as one that never ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Call names that mean something to the upstream; it answers others at once, with the name as the
/// text.
pub(crate) const BAD: &str = "bad";
pub(crate) const HOLD: &str = "hold";

/// A gateway and its upstream, which stop when this is dropped.
pub(crate) struct Fronted {
    pub(crate) address: SocketAddr,
    pub(crate) upstream: Upstream,
    _server: AbortOnDropHandle<()>,
}

impl Fronted {
    /// Calls named [`BAD`] are answered with the script.
    pub(crate) async fn start(script: Script, options: Options) -> Self {
        Self::with_keys(script, options, "").await
    }

    /// [`Fronted::start`] with keys of the gateway's configuration.
    pub(crate) async fn with_keys(script: Script, options: Options, keys: &str) -> Self {
        let play = move |call: &Call| play(call, &script);
        let upstream = Upstream::with(options, play).await.unwrap();
        let text = format!(
            "{keys}\n[upstream.hostile]\nendpoints = ['http://{}']\n[upstream.hostile.schema]\nreflection = false\ndescriptors = ['{}']\n",
            upstream.address(),
            descriptors().display(),
        );
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let sources = Sources {
            file: Some(file.path().to_owned()),
            environment: Vec::new(),
            flags: BTreeMap::new(),
        };
        let layers = Layers::load(gateway::DEFAULTS, &sources).unwrap();
        let process = Process::new("gateway", layers.settings().unwrap());
        let server = gateway::start(process.clone(), layers.parse().unwrap())
            .await
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { server.serve(listener, &process).await.unwrap() });
        let fronted = Self {
            address,
            upstream,
            _server: AbortOnDropHandle::new(server),
        };
        fronted.wait_until_ready().await;
        fronted
    }

    async fn wait_until_ready(&self) {
        let ready = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            while !exchange(self.address, "/readyz")
                .await
                .starts_with("HTTP/1.1 200")
            {
                ticks.tick().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), ready).await;
        waited.expect("the gateway is ready");
    }
}

/// Returns the body of a page.
pub(crate) async fn get(gateway: SocketAddr, path: &str) -> String {
    let answer = exchange(gateway, path).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

/// Returns the answer to a GET, head and body.
async fn exchange(gateway: SocketAddr, path: &str) -> String {
    let mut client = hostile::Client::bytes(gateway).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let _ = client.play(&[Step::Bytes(request.into_bytes())], 1).await;
    let seen = client.until(|seen| seen.is_closed).await.unwrap();
    seen.text()
}

/// Chooses the script of a call, once its first message is there.
fn play(call: &Call, bad: &Script) -> Option<Script> {
    if call.path.ends_with("/Gather") {
        return gather(call);
    }
    let name = name(&call.body)?;
    Some(match &name[..] {
        BAD => bad.clone(),
        HOLD => [vec![Step::Hold], answer(HOLD)].concat(),
        _ => answer(&name),
    })
}

/// As grpc-go does, a client stream waits for a DATA frame with END_STREAM. A server that got
/// HEADERS with END_STREAM would wait for ever; this one fails the call, so that a test need not
/// wait.
fn gather(call: &Call) -> Option<Script> {
    if call.is_ended_by_headers {
        return Some(grpc::error("9", "no DATA frame ended the requests"));
    }
    call.is_ended.then(|| {
        let count = messages(&call.body);
        answer(&count.to_string())
    })
}

/// Returns a good response with this text.
pub(crate) fn answer(text: &str) -> Script {
    grpc::answer(&response(text))
}

/// Returns the encoded `GetResponse`; `GetRequest` looks the same.
pub(crate) fn response(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x0a, u8::try_from(text.len()).unwrap()];
    bytes.extend(text.as_bytes());
    bytes
}

/// Returns the text of an encoded message; `None` if it is no such message.
pub(crate) fn text(message: &[u8]) -> Option<String> {
    let (tag, rest) = message.split_first()?;
    let (length, rest) = rest.split_first()?;
    let text = rest.get(..usize::from(*length))?;
    let text = String::from_utf8(text.to_vec()).ok()?;
    (*tag == 0x0a).then_some(text)
}

/// Returns the name in a request of which at least so much has arrived.
fn name(body: &[u8]) -> Option<String> {
    text(body.get(5..)?)
}

fn messages(mut body: &[u8]) -> usize {
    let mut count = 0;
    while let Some(length) = body.get(1..5) {
        let length = u32::from_be_bytes(length.try_into().unwrap());
        body = body.get(5 + length as usize..).unwrap_or_default();
        count += 1;
    }
    count
}

/// Returns the path of the descriptor file, which is compiled once.
fn descriptors() -> &'static std::path::Path {
    static FILE: OnceLock<tempfile::NamedTempFile> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let here = env!("CARGO_MANIFEST_DIR");
        let includes = [
            format!("{here}/tests/hostile/proto"),
            format!("{here}/../shared/compiler/third_party"),
        ];
        let mut compiler = protox::Compiler::new(includes).unwrap();
        compiler.include_imports(true);
        compiler
            .open_file("hostile/v1/hostile_service.proto")
            .unwrap();
        let file = tempfile::Builder::new()
            .suffix(".binpb")
            .tempfile()
            .unwrap();
        std::fs::write(file.path(), compiler.encode_file_descriptor_set()).unwrap();
        file
    });
    file.path()
}
