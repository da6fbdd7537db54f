//! Answers as bytes, for stores outside of the process: lengths of 4 bytes before their content.

use bytes::{Buf, BufMut, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::answer::{Answer, OF_TRANSPORT};

/// Appends an answer. What concerns the transport of its message is left out.
pub fn put_answer(answer: &Answer, out: &mut Vec<u8>) {
    put_headers(&answer.metadata, out);
    put_headers(&answer.trailers, out);
    put(&answer.message, out);
}

/// Reads an answer; `None` if the bytes are not one.
pub fn take_answer(rest: &mut Bytes) -> Option<Answer> {
    Some(Answer {
        metadata: take_headers(rest)?,
        trailers: take_headers(rest)?,
        message: take(rest)?,
    })
}

/// Appends bytes.
pub fn put(bytes: &[u8], out: &mut Vec<u8>) {
    // Messages have at most 4 GiB.
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

/// Reads bytes; `None` if they are cut off.
pub fn take(rest: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(rest.try_get_u32().ok()?).ok()?;
    (length <= rest.len()).then(|| rest.split_to(length))
}

/// Appends headers.
pub fn put_headers(headers: &HeaderMap, out: &mut Vec<u8>) {
    let kept = headers.iter();
    let kept: Vec<_> = kept
        .filter(|(name, _)| !OF_TRANSPORT.contains(name))
        .collect();
    out.put_u32(u32::try_from(kept.len()).unwrap_or(u32::MAX));
    for (name, value) in kept {
        put(name.as_str().as_bytes(), out);
        put(value.as_bytes(), out);
    }
}

/// Reads headers; `None` if the bytes are none.
pub fn take_headers(rest: &mut Bytes) -> Option<HeaderMap> {
    let count = rest.try_get_u32().ok()?;
    let mut headers = HeaderMap::new();
    for _ in 0..count {
        let name = HeaderName::from_bytes(&take(rest)?).ok()?;
        let value = HeaderValue::from_maybe_shared(take(rest)?).ok()?;
        headers.try_append(name, value).ok()?;
    }
    Some(headers)
}
