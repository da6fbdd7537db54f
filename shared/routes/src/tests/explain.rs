//! Why the other routes were not taken.

use super::*;

/// Returns the outcome, then template and reason of every other route.
fn explain(schema: &Routes, method: &str, path: &str) -> Vec<String> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let found = schema.router().find(&method, path);
    let taken = found.as_ref().ok().map(|found| found.binding);
    let others = schema.router().others(&method, path, taken);
    let outcome = match &found {
        Ok(found) => found.binding.text.to_string(),
        Err(error) => error.to_string(),
    };
    let others = others.iter().map(|candidate| {
        let route = candidate.route;
        format!("{} {}: {}", route.http_method, route.text, candidate.reason)
    });
    std::iter::once(outcome).chain(others).collect()
}

#[test]
fn every_other_route_says_where_it_parts_and_the_nearest_comes_first() {
    let schema = schema(&[
        "get: \"/v1/books/{a}\"",
        "delete: \"/v1/books/{a}\"",
        "get: \"/v1/{x=**}\"",
        "post: \"/v1/books/{a}:lend\"",
        "get: \"/v1/books/{a}/pages/{b}\"",
        "get: \"/v1/books\"",
        "get: \"/v2/books/{a}\"",
        "get: \"/v1/books/{x=**}/last\"",
    ]);
    assert_eq!(
        explain(&schema, "GET", "/v1/books/7"),
        [
            "/v1/books/{a}",
            "GET /v1/{x=**}: it matches too, but the chosen route is more specific (a literal comes before `*`, and `*` before `**`)",
            "DELETE /v1/books/{a}: the path matches, but the method is DELETE",
            "POST /v1/books/{a}:lend: the segments match, but the verb is \":lend\"",
            "GET /v1/books/{a}/pages/{b}: the path ends where the template has \"pages\" as segment 4",
            "GET /v1/books: the template ends after 2 segments, and the path goes on",
            "GET /v1/books/{x=**}/last: segment 3 is \"7\" where the template has \"last\"",
            "GET /v2/books/{a}: segment 1 is \"v1\" where the template has \"v2\"",
        ]
    );
}

#[test]
fn a_path_that_nothing_takes_is_compared_with_all() {
    let schema = schema(&["get: \"/v1/books/{a}\"", "get: \"/v1/books/{a}:lend\""]);
    assert_eq!(
        explain(&schema, "GET", "/v1/pens/7:lend"),
        [
            NONE,
            "GET /v1/books/{a}: segment 2 is \"pens\" where the template has \"books\"",
            "GET /v1/books/{a}:lend: segment 2 is \"pens\" where the template has \"books\"",
        ]
    );
    assert_eq!(
        explain(&schema, "GET", "/v1/books/"),
        [
            NONE,
            "GET /v1/books/{a}: segment 3 is \"\" where the template has \"*\"",
            "GET /v1/books/{a}:lend: segment 3 is \"\" where the template has \"*\"",
        ]
    );
}

#[test]
fn a_verb_is_part_of_the_segment_for_a_rule_without_one() {
    let schema = schema(&["get: \"/v1/books\"", "get: \"/v1/pens:count\""]);
    assert_eq!(
        explain(&schema, "GET", "/v1/books:count"),
        [
            NONE,
            "GET /v1/books: segment 2 is \"books:count\" where the template has \"books\"",
            "GET /v1/pens:count: segment 2 is \"books\" where the template has \"pens\"",
        ]
    );
}

#[test]
fn a_path_that_is_no_path_is_compared_with_nothing() {
    let schema = gets(&["/v1/{a}"]);
    assert_eq!(
        explain(&schema, "GET", "/v1/.."),
        ["bad path: dot segments are not resolved"]
    );
}

proptest! {
    /// Whatever the path, the explanation agrees with the search: where nothing is found, no other
    /// route would have matched.
    #[test]
    fn no_route_that_is_not_found_is_said_to_match(path in "(/(v1|a|b|c:x|%61||x)){0,4}") {
        let schema = gets(&["/v1/{a}", "/v1/a", "/v1/{x=**}/b", "/{a}/c:x", "/v1/{a}/{b}:x"]);
        if schema.router().find(&Method::GET, &path).is_err() {
            for candidate in &schema.router().others(&Method::GET, &path, None) {
                prop_assert_ne!(&candidate.reason, &Mismatch::Outranked, "{:?}", candidate);
            }
        }
    }
}
