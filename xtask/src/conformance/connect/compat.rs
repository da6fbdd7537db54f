//! What the suite and a server under test say to each other: two messages over standard input and output, each behind its
//! length (`connectrpc/conformance/v1/server_compat.proto`).

use anyhow::{Result, bail};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Certificates and a key are all that is long in these messages.
const LONGEST: usize = 1024 * 1024;

/// `Protocol.PROTOCOL_GRPC`.
pub(super) const GRPC: i32 = 2;

/// `HTTPVersion.HTTP_VERSION_2`.
pub(super) const HTTP_2: i32 = 2;

/// What is asked of a server; which protocols and versions of HTTP it must serve is left out where it is read, since ours
/// serves them all.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ServerCompatRequest {
    #[prost(int32, tag = "1")]
    pub(super) protocol: i32,
    #[prost(int32, tag = "2")]
    pub(super) http_version: i32,
    #[prost(bool, tag = "4")]
    pub(super) use_tls: bool,
    /// PEM of what client certificates are verified with; none are asked for where it is empty.
    #[prost(bytes = "vec", tag = "5")]
    pub(super) client_tls_cert: Vec<u8>,
    /// In bytes.
    #[prost(uint32, tag = "6")]
    pub(super) message_receive_limit: u32,
    #[prost(message, optional, tag = "7")]
    pub(super) server_creds: Option<TlsCreds>,
}

/// PEM of a certificate and its key.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TlsCreds {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) cert: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) key: Vec<u8>,
}

/// Where the server is.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ServerCompatResponse {
    #[prost(string, tag = "1")]
    pub(super) host: String,
    #[prost(uint32, tag = "2")]
    pub(super) port: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) pem_cert: Vec<u8>,
}

pub(super) async fn read<M: Message + Default>(from: &mut (impl AsyncRead + Unpin)) -> Result<M> {
    let length = from.read_u32().await? as usize;
    if length > LONGEST {
        bail!("a message of {length} bytes is longer than any of the suite's");
    }
    let mut message = vec![0; length];
    from.read_exact(&mut message).await?;
    Ok(M::decode(&*message)?)
}

pub(super) async fn write(
    message: &impl Message,
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<()> {
    let message = message.encode_to_vec();
    to.write_u32(u32::try_from(message.len())?).await?;
    to.write_all(&message).await?;
    Ok(to.flush().await?)
}
