//! `google.rpc` codes: their HTTP status, and the JSON of `google.rpc.Status`.

use http::StatusCode;
use wire::{Read, Reader, WireType};

use crate::schema::Schema;
use crate::{json, response};

/// Stack traces of a backend, which are hidden unless the options show them.
const STRIPPED: &str = "google.rpc.DebugInfo";

/// Returns the HTTP status of a gRPC code (`google/rpc/code.proto`); unknown codes are internal
/// errors.
pub fn http_status(code: i32) -> StatusCode {
    match code {
        0 => StatusCode::OK,
        1 => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        3 | 9 | 11 => StatusCode::BAD_REQUEST,
        4 => StatusCode::GATEWAY_TIMEOUT,
        5 => StatusCode::NOT_FOUND,
        6 | 10 => StatusCode::CONFLICT,
        7 => StatusCode::FORBIDDEN,
        8 => StatusCode::TOO_MANY_REQUESTS,
        12 => StatusCode::NOT_IMPLEMENTED,
        14 => StatusCode::SERVICE_UNAVAILABLE,
        16 => StatusCode::UNAUTHORIZED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Schema {
    /// Appends `{"code":…,"message":…,"details":[…]}`, the JSON of a `google.rpc.Status`.
    /// `details_bin` is the decoded `grpc-status-details-bin` trailer, an encoded
    /// `google.rpc.Status` of which only the details are read. A detail that can't be shown keeps
    /// its type and its bytes (base64, under `value`); `google.rpc.DebugInfo` is left out unless
    /// [`JsonOptions::show_debug_info`](crate::JsonOptions::show_debug_info) is set.
    pub fn write_status(
        &self,
        code: i32,
        message: &str,
        details_bin: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"{\"code\":");
        out.extend_from_slice(itoa::Buffer::new().format(code).as_bytes());
        out.extend_from_slice(b",\"message\":");
        json::put_string(message, out);
        out.extend_from_slice(b",\"details\":[");
        // A trailer that is not a Status at all costs its details, never the error itself.
        let details = read_details(details_bin.unwrap_or_default()).unwrap_or_default();
        let shows_all = self.types.json.show_debug_info;
        let is_shown = |url: &str| shows_all || url.rsplit('/').next() != Some(STRIPPED);
        let shown = details.into_iter().filter(|(url, _)| is_shown(url));
        for (index, (url, value)) in shown.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.write_detail(url, value, out);
        }
        out.extend_from_slice(b"]}");
    }

    /// Returns the full names of the types without which details of a `google.rpc.Status` can't be
    /// shown. `details_bin` is as in [`Schema::write_status`].
    pub fn missing_types(&self, details_bin: &[u8]) -> Vec<Box<str>> {
        let details = read_details(details_bin).unwrap_or_default();
        let missing = |(url, value): (&str, &[u8])| {
            let written = response::write_any(&self.types, url, value, &mut Vec::new());
            written.err()?.missing_type
        };
        details.into_iter().filter_map(missing).collect()
    }

    fn write_detail(&self, url: &str, value: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        if response::write_any(&self.types, url, value, out).is_err() {
            out.truncate(start);
            out.extend_from_slice(b"{\"@type\":");
            json::put_string(url, out);
            out.extend_from_slice(b",\"value\":");
            json::put_base64(value, out);
            out.push(b'}');
        }
    }
}

/// Type URL and value of each detail.
fn read_details(status: &[u8]) -> Read<Vec<(&str, &[u8])>> {
    let mut details = Vec::new();
    let mut reader = Reader::new(status);
    while let Some((number, wire_type)) = reader.tag()? {
        if (number, wire_type) != (3, WireType::Delimited) {
            reader.skip(number, wire_type)?;
            continue;
        }
        details.push(response::read_any(reader.delimited()?)?);
    }
    Ok(details)
}

#[cfg(test)]
mod tests;
