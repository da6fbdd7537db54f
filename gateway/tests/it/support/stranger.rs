//! The upstream: a plain tonic server with reflection, which records what happens to its calls.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use prost::Message;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic_reflection::pb::v1::server_reflection_server::ServerReflectionServer;

use super::reflection::Told;
use super::service::Stranger;

/// The events of the calls so far, in short sentences.
pub(crate) type Events = watch::Receiver<Vec<String>>;

/// A running upstream; it stops when it is dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) observed: Arc<Observed>,
    /// A separate runtime, so that stopping the upstream breaks its connections too.
    runtime: Option<Runtime>,
}

/// The state of the service so far.
pub(crate) struct Observed {
    events: watch::Sender<Vec<String>>,
    /// The names that `Greet` was called with.
    pub(crate) greeted: Mutex<Vec<String>>,
    /// The metadata of the last call, trailers included.
    pub(crate) received: Mutex<http::HeaderMap>,
    /// Bytes of padding that `Count` has produced.
    pub(crate) produced: AtomicU64,
    /// Bytes that `Store` has read.
    pub(crate) stored: AtomicU64,
    /// Connections that it has accepted.
    pub(crate) connections: AtomicU64,
    /// `Store` takes one permit per message; it has plenty unless a test takes them away.
    pub(crate) permits: Semaphore,
}

/// The version of reflection that the upstream offers.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Reflection {
    V1,
    V1Alpha,
    None,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, descriptors("stranger"), Reflection::V1)
    }

    /// Serves without reflection.
    pub(crate) async fn mute() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, descriptors("stranger"), Reflection::None)
    }

    /// Serves on a socket that was bound before, see [`reserve`].
    pub(crate) fn start_on(socket: TcpSocket) -> Self {
        Self::serve(
            socket.listen(64).unwrap(),
            descriptors("stranger"),
            Reflection::V1,
        )
    }

    pub(crate) fn serve(listener: TcpListener, descriptors: Vec<u8>, version: Reflection) -> Self {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(&descriptors);
        Self::run(listener, |routes| match version {
            Reflection::V1 => routes.add_service(reflection.build_v1().unwrap()),
            Reflection::V1Alpha => routes.add_service(reflection.build_v1alpha().unwrap()),
            Reflection::None => routes,
        })
    }

    /// Serves with a reflection that tells what it is told to.
    pub(crate) async fn reflecting(told: Told) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::run(listener, |routes| {
            routes.add_service(ServerReflectionServer::new(told))
        })
    }

    fn run(listener: TcpListener, reflect: impl FnOnce(Routes) -> Routes) -> Self {
        let address = listener.local_addr().unwrap();
        let observed = Arc::new(Observed {
            events: watch::Sender::new(Vec::new()),
            greeted: Mutex::default(),
            received: Mutex::default(),
            produced: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            permits: Semaphore::new(1 << 20),
        });
        let routes = reflect(Routes::new(Stranger {
            observed: observed.clone(),
        }));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = listener.into_std().unwrap();
        let counted = observed.clone();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            // Without it an answer of several writes waits for the acknowledgement of the first.
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            let incoming = incoming.inspect(move |_| {
                counted.connections.fetch_add(1, Ordering::SeqCst);
            });
            let server = tonic::transport::Server::builder().add_routes(routes);
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self {
            address,
            observed,
            runtime: Some(runtime),
        }
    }

    /// The names that `Greet` was called with so far.
    pub(crate) fn greeted(&self) -> Vec<String> {
        self.observed.greeted.lock().unwrap().clone()
    }

    /// The metadata of the last call.
    pub(crate) fn received(&self) -> http::HeaderMap {
        self.observed.received.lock().unwrap().clone()
    }

    pub(crate) fn events(&self) -> Events {
        self.observed.events.subscribe()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// Waits until this has happened.
pub(crate) async fn happened(events: &mut Events, expected: &str) {
    let wait = events.wait_for(|seen| seen.iter().any(|event| event == expected));
    let outcome = tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .map(drop);
    assert!(
        outcome.is_ok(),
        "expected `{expected}`, last saw {:?}",
        *events.borrow()
    );
}

/// A port that refuses connections until something listens on it.
pub(crate) fn reserve() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// The encoded descriptors of one of the test protos, extension options included.
pub(crate) fn descriptors(package: &str) -> Vec<u8> {
    compiled(package, &[])
}

/// [`descriptors`] of the stranger's proto, in which each text is replaced by another one.
pub(crate) fn variant(replacements: &[(&str, &str)]) -> Vec<u8> {
    let file = "stranger/v1/stranger_service.proto";
    let mut source = std::fs::read_to_string(format!("{PROTOS}/{file}")).unwrap();
    for (text, other) in replacements {
        assert!(source.contains(text), "{text}");
        source = source.replace(text, other);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, source).unwrap();
    compiled("stranger", &[directory.path().to_str().unwrap().to_owned()])
}

/// An upstream to whose contract names are personal.
pub(crate) async fn personal_names() -> Upstream {
    let import = "import \"google/protobuf/any.proto\";";
    let name = "  string name = 1 [(buf.validate.field).string.max_bytes = 100];\n";
    let personal = "  string name = 1 [(mesh.v1.data_class) = DATA_CLASS_PERSONAL];\n";
    let descriptors = variant(&[
        (
            import,
            &format!("{import} import \"mesh/v1/options.proto\";"),
        ),
        (name, personal),
    ]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Upstream::serve(listener, descriptors, Reflection::V1)
}

/// The same descriptors as a server reflects them that knows no extensions: without routes and
/// rules.
pub(crate) fn stripped(descriptors: &[u8]) -> Vec<u8> {
    prost_types::FileDescriptorSet::decode(descriptors)
        .unwrap()
        .encode_to_vec()
}

/// A descriptor file that gateways watch.
pub(crate) struct DescriptorFile {
    directory: tempfile::TempDir,
}

pub(crate) const PROTOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/proto");

fn compiled(package: &str, first: &[String]) -> Vec<u8> {
    let here = env!("CARGO_MANIFEST_DIR");
    let includes = first.iter().cloned().chain([
        PROTOS.to_owned(),
        format!("{here}/../shared/compiler/third_party"),
        format!("{here}/../shared/compiler/proto"),
    ]);
    let mut compiler = protox::Compiler::new(includes).unwrap();
    compiler.include_imports(true);
    // As files have it; servers reflect no comments.
    compiler.include_source_info(!first.is_empty());
    compiler
        .open_file(format!("{package}/v1/{package}_service.proto"))
        .unwrap();
    compiler.encode_file_descriptor_set()
}

impl DescriptorFile {
    pub(crate) fn new(content: &[u8]) -> Self {
        let file = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        file.write(content);
        file
    }

    pub(crate) fn path(&self) -> String {
        let path = self.directory.path().join("api.binpb");
        path.to_str().unwrap().to_owned()
    }

    /// Replaces the file, as careful tools do.
    pub(crate) fn write(&self, content: &[u8]) {
        let new = self.directory.path().join("new");
        std::fs::write(&new, content).unwrap();
        std::fs::rename(new, self.path()).unwrap();
    }
}

impl Observed {
    pub(crate) fn note(&self, event: &str) {
        self.events
            .send_modify(|events| events.push(event.to_owned()));
    }
}
