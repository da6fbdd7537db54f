//! Arbitrary paths against routes that overlap in every way.

use std::sync::LazyLock;

use transcoder::Schema;

use crate::routing::oracle::{self, Pattern};
use crate::routing::{self, Rule};
use crate::template::check;

/// Overlapping rules: literals, `*`, `**` with and without a tail, verbs, several methods on one
/// template, all methods.
const RULES: &str = "\
GET /
GET /v1/{a}
PUT /v1/{a}
DELETE /v1/{x=**}
GET /v1/{x=**}
GET /v1/items
POST /v1/items
POST /v1/items:batch
GET /v1/items/{a}
PATCH /v1/items/{in.a}
GET /v1/items/{a}/parts/{b}
GET /v1/*/{a}/parts/last
GET /v1/{x=items/*/parts/*}/{b}
POST /v1/{x=**}:purge
POST /v1/items/{a}:purge
POST /v1/{in.x=items/**}:a%2Fb
GET /v1/files/{x=**}/raw
GET /v1/files/{x=**}/{b}/raw
HEAD /v1/files/{x=**}/raw
* /any/{x=**}
GET /any/{a}
POST /any/{a}/b
PROPFIND /any/{a}/b
GET /esc/a%2Fb/%C3%A4/{a}
GET /esc/{a}/{b}
GET /esc/{x=*/*}/z
GET /{a=*}/{b=*}/{x=**}
GET /{in.in.x=one/*/two/**}";

static ROUTER: LazyLock<(Vec<Rule>, Vec<Pattern>, Schema)> = LazyLock::new(|| {
    let rules: Vec<Rule> = RULES.lines().map(Rule::parse).collect();
    let patterns = oracle::compile(&rules).expect("the rules are valid");
    let schema = routing::compile(&rules).expect("the rules are valid");
    (rules, patterns, schema)
});

/// One request (`GET /v1/x`) against a fixed set of rules, compared with an oracle that tries every
/// rule.
pub fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let request = Rule::parse(text);
    let (rules, patterns, schema) = &*ROUTER;
    check(schema, rules, patterns, &request.method, &request.template);
}
