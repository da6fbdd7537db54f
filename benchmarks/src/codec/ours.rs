//! The transcoder, through its public API.

use anyhow::Result;
use transcoder::Match;

use super::Codec;

/// The transcoder by a route, as in a server that has matched the request.
pub(super) struct Transcoder<'a> {
    found: Match<'a>,
}

impl<'a> Transcoder<'a> {
    pub(super) fn new(found: Match<'a>) -> Self {
        Transcoder { found }
    }
}

impl Codec for Transcoder<'_> {
    fn name(&self) -> &'static str {
        "transcoder"
    }

    fn json_to_wire(&mut self, json: &[u8], wire: &mut Vec<u8>) -> Result<()> {
        Ok(self.found.encode_request(None, json, wire)?)
    }

    fn wire_to_json(&mut self, wire: &[u8], json: &mut Vec<u8>) -> Result<()> {
        Ok(self.found.route().write_response(wire, json)?)
    }
}
