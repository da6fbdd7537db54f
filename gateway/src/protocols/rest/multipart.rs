//! `multipart/form-data` (RFC 7578), as browsers send it: an upload is its one file, anything else
//! is a form.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use admission::Holding;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chassis::error::{self, Fault};
use futures::Stream;
use http_body::{Body as _, Frame};
use http_body_util::StreamBody;
use multer::{Field, Multipart};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tonic::Status;
use tonic::body::Body;

use crate::call::frame::AbortReason;
use crate::call::request_body::aborted_by_client;
use crate::failure::Failure;

/// The largest size of a boundary and the headers of a part, in bytes.
const HEADERS_MAX_BYTES: u64 = 64 * 1024;

/// The one file of a body, as it arrives, and the fields before it.
pub(crate) struct FilePart {
    /// The fields, as a query has them.
    pub(crate) query: String,
    pub(crate) content_type: String,
    pub(crate) data: Body,
    /// The error of the rest of the body, if there is one.
    pub(crate) refused: AbortReason,
}

impl FilePart {
    /// Returns the query of the request, followed by the fields.
    pub(crate) fn query_behind(&self, query: Option<&str>) -> String {
        match query {
            Some(query) if !query.is_empty() => format!("{query}&{}", self.query),
            _ => self.query.clone(),
        }
    }
}

/// The boundary of a body, if it is of this type.
pub(crate) fn boundary(content_type: &str) -> Result<Option<String>, Failure> {
    match multer::parse_boundary(content_type) {
        Ok(boundary) => Ok(Some(boundary)),
        Err(multer::Error::NoBoundary) => Err(malformed("the content type names no boundary")),
        Err(_) => Ok(None),
    }
}

/// Reads a whole body as a form: `application/x-www-form-urlencoded` of its fields, so that they
/// bind by the same rules. A file is the value of a field of type `bytes`.
pub(crate) async fn form(
    body: Body,
    boundary: String,
    max_bytes: usize,
    holding: &Holding,
) -> Result<Vec<u8>, Failure> {
    let mut parts = FormParts::new(body, boundary);
    let mut form = String::new();
    let mut left = max_bytes;
    while let Some(mut field) = parts.next().await? {
        let name = name(&field)?;
        let is_file = field.file_name().is_some();
        let value = read(&mut field, &name, &mut left, max_bytes, holding).await?;
        put(&mut form, &name, &text(&name, is_file, value)?);
    }
    Ok(form.into_bytes())
}

/// Reads up to the first byte of the file.
pub(crate) async fn file(
    body: Body,
    boundary: String,
    max_bytes: usize,
    holding: &Holding,
) -> Result<FilePart, Failure> {
    let mut parts = FormParts::new(body, boundary);
    let mut query = String::new();
    let mut left = max_bytes;
    while let Some(mut field) = parts.next().await? {
        if field.file_name().is_some() {
            let content_type = field.content_type().map(ToString::to_string);
            let refused = AbortReason::default();
            return Ok(FilePart {
                query,
                content_type: content_type.unwrap_or_default(),
                data: data(parts, field, refused.clone()),
                refused,
            });
        }
        let name = name(&field)?;
        let value = read(&mut field, &name, &mut left, max_bytes, holding).await?;
        put(&mut query, &name, &text(&name, false, value)?);
    }
    Err(malformed("no part is a file: none has a filename"))
}

/// Returns the bytes of the file. It is complete only if the body ends after it.
fn data(parts: FormParts, file: Field<'static>, refused: AbortReason) -> Body {
    let chunks = futures::stream::try_unfold((parts, Some(file)), move |(mut parts, file)| {
        let refused = refused.clone();
        async move {
            let Some(mut file) = file else {
                return Ok(None);
            };
            let outcome = match file.chunk().await {
                Ok(Some(chunk)) => return Ok(Some((Frame::data(chunk), (parts, Some(file))))),
                Ok(None) => {
                    drop(file);
                    parts.end().await
                }
                Err(error) => Err(failure(error)),
            };
            outcome.map(|()| None).map_err(|failure| {
                let _ = refused.set(failure.status.clone());
                failure.status
            })
        }
    });
    Body::new(StreamBody::new(chunks))
}

/// Reads a value; it counts against what is left with its name, which is kept too.
async fn read(
    field: &mut Field<'static>,
    name: &str,
    left: &mut usize,
    max_bytes: usize,
    holding: &Holding,
) -> Result<Vec<u8>, Failure> {
    let mut take = |length: usize| {
        let rest = left.checked_sub(length);
        *left = rest.ok_or_else(|| Failure::body_too_large(None, max_bytes))?;
        holding.receive(length)?;
        Ok::<_, Failure>(())
    };
    take(name.len())?;
    let mut value = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(failure)? {
        take(chunk.len())?;
        value.extend_from_slice(&chunk);
    }
    Ok(value)
}

fn name(field: &Field<'_>) -> Result<String, Failure> {
    let name = field.name().map(str::to_owned);
    name.ok_or_else(|| malformed("a part has no name"))
}

fn text(name: &str, is_file: bool, value: Vec<u8>) -> Result<String, Failure> {
    if is_file {
        return Ok(STANDARD.encode(value));
    }
    String::from_utf8(value).map_err(|_| malformed(&format!("the part `{name}` is not UTF-8")))
}

fn put(form: &mut String, name: &str, value: &str) {
    if !form.is_empty() {
        form.push('&');
    }
    form.extend(utf8_percent_encode(name, NON_ALPHANUMERIC));
    form.push('=');
    form.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
}

fn failure(error: multer::Error) -> Failure {
    match error {
        multer::Error::StreamReadFailed(source) if source.is::<HeadersTooLarge>() => {
            malformed(&source.to_string())
        }
        multer::Error::StreamReadFailed(source) => match source.downcast::<Status>() {
            Ok(status) if error::reason(&status).is_some() => Failure::unread(Some(&status)),
            _ => aborted_by_client().into(),
        },
        other => malformed(&other.to_string()),
    }
}

fn malformed(reason: &str) -> Failure {
    let message = format!("invalid multipart/form-data: {reason}");
    Fault::invalid_argument("BAD_MULTIPART", message).into()
}

/// The parts of a body, one after the other.
struct FormParts {
    multipart: Multipart<'static>,
    /// How far the body may be read until the next part has begun, in bytes from its start.
    bound: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
}

impl FormParts {
    fn new(body: Body, boundary: String) -> Self {
        let (bound, read) = (Arc::default(), Arc::default());
        let source = PacedChunks {
            body,
            bound: Arc::clone(&bound),
            read: Arc::clone(&read),
            is_due: true,
        };
        Self {
            multipart: Multipart::new(source, boundary),
            bound,
            read,
        }
    }

    async fn next(&mut self) -> Result<Option<Field<'static>>, Failure> {
        let bound = self.read.load(Ordering::Relaxed) + HEADERS_MAX_BYTES;
        self.bound.store(bound, Ordering::Relaxed);
        let field = self.multipart.next_field().await.map_err(failure)?;
        self.bound.store(u64::MAX, Ordering::Relaxed);
        Ok(field)
    }

    async fn end(&mut self) -> Result<(), Failure> {
        match self.next().await? {
            None => Ok(()),
            Some(_) => Err(malformed(
                "a part follows the file, which has to be the last one",
            )),
        }
    }
}

/// Gives the parser one chunk at a time. It would take all that there is otherwise, whether or not
/// the upstream keeps up.
struct PacedChunks {
    body: Body,
    bound: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
    is_due: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the headers of a part exceed {HEADERS_MAX_BYTES} bytes")]
struct HeadersTooLarge;

type SourceError = Box<dyn std::error::Error + Send + Sync>;

impl Stream for PacedChunks {
    type Item = Result<Bytes, SourceError>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, SourceError>>> {
        let this = &mut *self;
        if !std::mem::replace(&mut this.is_due, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = Pin::new(&mut this.body).poll_frame(context);
        polled.map(|frame| {
            let data = match frame? {
                Ok(frame) => frame.into_data().unwrap_or_default(),
                Err(error) => return Some(Err(error.into())),
            };
            this.is_due = false;
            let before = this.read.fetch_add(data.len() as u64, Ordering::Relaxed);
            // The last chunk may hold bytes of the part before, hence not its end but its beginning
            // counts.
            let is_within = before <= this.bound.load(Ordering::Relaxed);
            Some(if is_within {
                Ok(data)
            } else {
                Err(HeadersTooLarge.into())
            })
        })
    }
}
