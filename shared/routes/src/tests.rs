//! The template that each path matches, and the text of its variables.

mod explain;

use descriptors::{NameOptions, Types};
use http::Method;
use proptest::prelude::*;

use crate::*;

/// Returns the routes of a proto file.
fn compiled(body: &str, options: &RouteOptions) -> Routes {
    let loaded = descriptors::load(&samples::set_of(body)).unwrap();
    let types = Types::new(&loaded.pool, NameOptions::default());
    let mut problems = loaded.problems;
    let routes = Routes::compile(&loaded.pool, &types, options, &mut problems);
    assert_eq!(problems, []);
    routes
}

/// Returns a service with one method per template, named `M0`, `M1`, ….
fn schema(rules: &[&str]) -> Routes {
    let mut methods = String::new();
    for (index, rule) in rules.iter().enumerate() {
        methods += &format!(
            "rpc M{index}(In) returns (In) {{ option (google.api.http) = {{ {rule} }}; }}\n"
        );
    }
    let body = format!(
        "message In {{ string a = 1; string b = 2; string x = 3; In in = 4; }} service S {{ {methods} }}"
    );
    compiled(&body, &RouteOptions::default())
}

fn gets(templates: &[&str]) -> Routes {
    let rules: Vec<String> = templates.iter().map(|t| format!("get: \"{t}\"")).collect();
    schema(&rules.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Returns the template that takes the path, with its variables.
fn route(schema: &Routes, method: &str, path: &str) -> String {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    match schema.router().find(&method, path) {
        Ok(found) => {
            let mut text = found.binding.text.to_string();
            for variable in &found.binding.variables {
                text += &format!(" {}", found.captured(variable));
            }
            text
        }
        Err(RouteError::MethodNotAllowed { allow }) => format!("405 {allow:?}"),
        Err(RouteError::Redirect { location }) => format!("redirect {location}"),
        Err(error) => error.to_string(),
    }
}

const NONE: &str = "no route matches the path";

#[test]
fn literal_wins_over_star_wins_over_glob_with_backtracking() {
    let schema = gets(&[
        "/v1/{x=**}",
        "/v1/{a}/{b}",
        "/v1/shelves/{b}",
        "/v1/{a}/books",
        "/v1/shelves/{a}/books/{b}",
        "/v1/{a}/{b}/pens/last",
    ]);
    let cases = [
        ("/v1", "/v1/{x=**} "),
        ("/v1/q", "/v1/{x=**} q"),
        ("/v1/q/r", "/v1/{a}/{b} q r"),
        ("/v1/shelves/r", "/v1/shelves/{b} r"),
        ("/v1/shelves/books", "/v1/shelves/{b} books"),
        ("/v1/q/books", "/v1/{a}/books q"),
        ("/v1/shelves/r/books/s", "/v1/shelves/{a}/books/{b} r s"),
        ("/v1/shelves/r/books", "/v1/{x=**} shelves/r/books"),
        ("/v1/shelves/r/pens/last", "/v1/{a}/{b}/pens/last shelves r"),
        (
            "/v1/shelves/r/pens/first",
            "/v1/{x=**} shelves/r/pens/first",
        ),
        ("/v2/q", NONE),
        ("/", NONE),
    ];
    for (path, expected) in cases {
        assert_eq!(route(&schema, "GET", path), expected, "{path}");
    }
}

#[test]
fn registered_verbs_win_and_unknown_ones_stay_text() {
    let schema = gets(&[
        "/person",
        "/person/{a}",
        "/{x=**}:verb",
        "/v1/{a=items/*}:a%2Fb",
        "/v1/{x=**}",
    ]);
    let cases = [
        ("/person", "/person"),
        ("/person/jason", "/person/{a} jason"),
        ("/person:verb", "/{x=**}:verb person"),
        ("/person/jason:verb", "/{x=**}:verb person/jason"),
        ("/person/jason%3Averb", "/person/{a} jason%3Averb"),
        ("/person/jason:nerb", "/person/{a} jason:nerb"),
        ("/person/jason:nerb:verb", "/{x=**}:verb person/jason:nerb"),
        ("/person/jason:", "/person/{a} jason:"),
        ("/person/fe80::", "/person/{a} fe80::"),
        ("/person/C:", "/person/{a} C:"),
        ("/person/jason%3A", "/person/{a} jason%3A"),
        ("/animal", NONE),
        ("/:verb", "/{x=**}:verb "),
        ("/v1/items/7:a%2fb", "/v1/{a=items/*}:a%2Fb items/7"),
        ("/v1/:verb", "/{x=**}:verb v1/"),
    ];
    for (path, expected) in cases {
        assert_eq!(route(&schema, "GET", path), expected, "{path}");
    }
}

#[test]
fn literals_may_follow_a_glob() {
    let schema = gets(&["/a/{x=b/**}/z", "/a/{x=b/**}/z/{a}/y", "/a/{x=**}"]);
    let cases = [
        ("/a/b/z", "/a/{x=b/**}/z b"),
        ("/a/b/c/d/z", "/a/{x=b/**}/z b/c/d"),
        ("/a/b/c/z/q/y", "/a/{x=b/**}/z/{a}/y b/c q"),
        ("/a/b/c/z/q", "/a/{x=**} b/c/z/q"),
    ];
    for (path, expected) in cases {
        assert_eq!(route(&schema, "GET", path), expected, "{path}");
    }
}

#[test]
fn nested_and_fixed_variables_capture_their_segments() {
    let schema = gets(&["/v1/{in.in.a=shelves/*}/books/{b=7}", "/"]);
    assert_eq!(
        route(&schema, "GET", "/v1/shelves/1/books/7"),
        "/v1/{in.in.a=shelves/*}/books/{b=7} shelves/1 7"
    );
    assert_eq!(route(&schema, "GET", "/v1/shelves/1/books/8"), NONE);
    assert_eq!(route(&schema, "GET", "/"), "/");
}

#[test]
fn empty_segments_match_nothing() {
    let schema = gets(&["/v1/{a}", "/v2/{x=**}"]);
    for path in [
        "/v1/", "/v1//", "//v1/q", "/v1/q/", "/v2/q//r", "/v2/q/", "/v2/",
    ] {
        assert_eq!(route(&schema, "GET", path), NONE, "{path}");
    }
}

#[test]
fn literals_compare_decoded() {
    let schema = gets(&["/v1/a%20b", "/v1/c"]);
    for path in ["/v1/a%20b", "/%761/a%20b"] {
        assert_eq!(route(&schema, "GET", path), "/v1/a%20b", "{path}");
    }
    assert_eq!(route(&schema, "GET", "/v1/%63"), "/v1/c");
}

#[test]
fn other_methods_of_a_path_are_named() {
    let schema = schema(&[
        "get: \"/v1/{a}\" additional_bindings { put: \"/v1/{a}\" body: \"in\" }",
        "delete: \"/v1/{x=**}\"",
        "custom: { kind: \"PURGE\" path: \"/v1/cache\" }",
        "custom: { kind: \"*\" path: \"/any\" }",
        "post: \"/any\"",
        "custom: { kind: \"HEAD\" path: \"/v1/heads/{a}\" }",
        "get: \"/v1/heads/{b}\"",
    ]);
    let cases = [
        ("GET", "/v1/cache", "/v1/{a} cache"),
        ("HEAD", "/v1/cache", "/v1/{a} cache"),
        ("PURGE", "/v1/cache", "/v1/cache"),
        ("purge", "/v1/cache", "405 [DELETE, GET, HEAD, PURGE, PUT]"),
        ("DELETE", "/v1/cache", "/v1/{x=**} cache"),
        ("POST", "/v1/q", "405 [DELETE, GET, HEAD, PUT]"),
        ("POST", "/v1/q/r", "405 [DELETE]"),
        ("POST", "/v3", NONE),
        ("POST", "/any", "/any"),
        ("PROPFIND", "/any", "/any"),
        ("HEAD", "/v1/heads/q", "/v1/heads/{a} q"),
    ];
    for (method, path, expected) in cases {
        assert_eq!(route(&schema, method, path), expected, "{method} {path}");
    }
}

#[test]
fn malformed_paths_are_refused() {
    let schema = gets(&["/{x=**}"]);
    let long = format!("/{}", "a".repeat(MAX_PATH_BYTES));
    let deep = "/a".repeat(MAX_PATH_SEGMENTS + 1);
    let bad = [
        "",
        "v1",
        "/.",
        "/a/..",
        "/%2e%2E/b",
        "/..:x",
        "/a/%2E:x",
        "/%",
        "/%zz",
        "/%00",
        "/%ff",
    ];
    for path in bad {
        let error = schema.router().find(&Method::GET, path).unwrap_err();
        assert!(
            matches!(error, RouteError::BadPath { .. }),
            "{path}: {error}"
        );
    }
    for path in [long, deep] {
        let error = schema.router().find(&Method::GET, &path).unwrap_err();
        assert!(matches!(error, RouteError::PathTooLong { .. }), "{error}");
    }
    assert!(
        schema
            .router()
            .find(&Method::GET, &"/a".repeat(MAX_PATH_SEGMENTS))
            .is_ok()
    );
}

fn with(options: RouteOptions, templates: &[&str]) -> Routes {
    let rules = templates.iter().map(|path| HttpRule {
        http_method: "GET".into(),
        path: (*path).into(),
        ..HttpRule::default()
    });
    let mut bindings: Vec<HttpRule> = rules.collect();
    let mut rule = bindings.remove(0);
    rule.selector = "t.S.M".into();
    rule.additional_bindings = bindings;
    let options = RouteOptions {
        rules: vec![rule],
        ..options
    };
    let proto = "message In { string a = 1; string x = 2; } service S { rpc M(In) returns (In); }";
    compiled(proto, &options)
}

#[test]
fn slash_at_the_end_may_redirect_or_be_ignored() {
    let templates = ["/v1/{a}", "/v1/{x=**}:verb", "/"];
    let cases = [
        ("/v1/q/", "redirect /v1/q", "/v1/{a} q"),
        ("/v1/q:verb/", "redirect /v1/q:verb", "/v1/{x=**}:verb q"),
        ("/v1/q", "/v1/{a} q", "/v1/{a} q"),
        ("/", "/", "/"),
        ("/v1/q//", NONE, NONE),
        ("//v1/q/", NONE, NONE),
        ("//evil.example/", NONE, NONE),
        ("//", "redirect /", "/"),
        ("/v2/", NONE, NONE),
    ];
    for (trailing_slash, redirects) in [
        (TrailingSlash::Redirect, true),
        (TrailingSlash::Ignore, false),
    ] {
        let http = RouteOptions {
            trailing_slash,
            ..RouteOptions::default()
        };
        let schema = with(http, &templates);
        for (path, redirected, ignored) in cases {
            let expected = if redirects { redirected } else { ignored };
            assert_eq!(route(&schema, "GET", path), expected, "{path}");
        }
        assert_eq!(route(&schema, "POST", "/v1/q/"), NONE);
    }
}

#[test]
fn redirects_stay_on_their_host() {
    let options = RouteOptions {
        trailing_slash: TrailingSlash::Redirect,
        ..RouteOptions::default()
    };
    let schema = with(options, &["/{a}", "/x/{a=**}"]);
    // Browsers take a backslash for a slash, and two slashes for the start of a host; they drop
    // tabs.
    for (path, expected) in [
        ("/\\host.example/", "/%5Chost.example"),
        ("/\t\\host.example/", "/%09%5Chost.example"),
        ("/x/a%2Fb/ä/", "/x/a%2Fb/%C3%A4"),
    ] {
        let location = expected.to_owned();
        let refusal = schema.router().find(&Method::GET, path).unwrap_err();
        assert_eq!(refusal, RouteError::Redirect { location });
    }
}

#[test]
fn head_takes_its_own_rule_or_that_of_get() {
    let any = |path: &str| format!("custom: {{ kind: \"*\" path: \"{path}\" }}");
    let found = |rules: &[&str], path| {
        let schema = schema(rules);
        let found = schema.router().find(&Method::HEAD, path).unwrap();
        found.binding.http_method.to_string()
    };
    let rules = [&*any("/a"), "get: \"/a\"", &any("/b")];
    assert_eq!(found(&rules, "/a"), "GET");
    assert_eq!(found(&rules, "/b"), "*");
    let own = "custom: { kind: \"HEAD\" path: \"/{a}\" }";
    assert_eq!(found(&[&any("/a"), "get: \"/a\"", own], "/a"), "HEAD");
    assert_eq!(found(&[&any("/a/b"), own], "/a/b"), "*");
}

#[test]
fn verbs_and_methods_of_one_path_are_told_apart_however_many_there_are() {
    let mut rules = vec!["get: \"/a\"".to_owned(), "post: \"/a\"".to_owned()];
    for number in (0..50).rev() {
        rules.push(format!("get: \"/a:v{number}\""));
        rules.push(format!("post: \"/a:v{number}\""));
    }
    let schema = schema(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    for number in 0..50 {
        let path = format!("/a:v{number}");
        for method in ["GET", "POST"] {
            assert_eq!(route(&schema, method, &path), path);
        }
        assert_eq!(route(&schema, "PUT", &path), "405 [GET, HEAD, POST]");
    }
    assert_eq!(route(&schema, "GET", "/a"), "/a");
    assert_eq!(route(&schema, "GET", "/a:v50"), NONE);
    assert_eq!(route(&schema, "DELETE", "/a"), "405 [GET, HEAD, POST]");
}

#[test]
fn strict_verbs_match_nothing_unless_registered() {
    let http = RouteOptions {
        strict_verbs: true,
        ..RouteOptions::default()
    };
    let schema = with(http, &["/v1/{a}", "/v1/{a}:verb", "/{x=**}:other"]);
    let cases = [
        ("/v1/q", "/v1/{a} q"),
        ("/v1/q:verb", "/v1/{a}:verb q"),
        ("/v1/q:r:verb", "/v1/{a}:verb q:r"),
        ("/v1/q%3Anope", "/v1/{a} q%3Anope"),
        ("/v1/q:nope", NONE),
        ("/v1:verb", NONE),
        ("/v1:other", "/{x=**}:other v1"),
    ];
    for (path, expected) in cases {
        assert_eq!(route(&schema, "GET", path), expected, "{path}");
    }
}

/// Templates that differ in every way a segment can: all `a` or `*`, `length` segments of them.
fn overlapping(prefix: &str, length: usize) -> Vec<String> {
    let segment = |bits: usize, at: usize| if bits >> at & 1 == 0 { "/a" } else { "/*" };
    let template = |bits: usize| (0..length).map(|at| segment(bits, at)).collect::<String>();
    (0..1 << length)
        .map(|bits| format!("{prefix}{}", template(bits)))
        .collect()
}

#[test]
fn overlapping_templates_are_searched_within_bounds() {
    let long = "/a".repeat(MAX_PATH_SEGMENTS);
    for (prefix, length, path, bound) in [
        // No template has this many segments: the first look ends it.
        ("", 10, "/a".repeat(9) + "/b/c", 1),
        ("", 10, "/a".repeat(10), 1 << 11),
        (
            "/**",
            10,
            "/a".repeat(MAX_PATH_SEGMENTS - 1) + "/b",
            1 << 11,
        ),
        ("/**", 6, long, 1 << 8),
    ] {
        let templates = overlapping(prefix, length);
        let templates: Vec<&str> = templates.iter().map(String::as_str).collect();
        let schema = with(RouteOptions::default(), &templates);
        let steps = schema.router().steps(&path);
        assert!(
            steps <= bound,
            "{prefix} {length}: {steps} steps for {path}"
        );
    }
}

#[test]
fn search_gives_up_instead_of_running_away() {
    let templates = overlapping("", 14);
    let templates: Vec<&str> = templates.iter().map(String::as_str).collect();
    let schema = with(RouteOptions::default(), &templates);
    let path = "/a".repeat(14);
    assert!(schema.router().find(&Method::GET, &path).is_ok());
    let error = schema.router().find(&Method::POST, &path).unwrap_err();
    let is_refused = matches!(error, RouteError::BadPath { reason } if reason.contains("overlap"));
    assert!(is_refused, "{error}");
}

#[test]
fn lookup_visits_as_many_places_of_a_large_router_as_of_a_small_one() {
    let build = |count: usize| {
        let templates: Vec<String> = (0..count)
            .map(|n| match n % 4 {
                0 => format!("/v1/resource{n}"),
                1 => format!("/v1/resource{n}/{{a}}"),
                2 => format!(
                    "/v1/a-resource-with-a-name-longer-than-a-cache-line-is-wide-{n}/{{a}}:verb{n}"
                ),
                _ => format!("/v1/{{x=resource{n}/*/parts/**}}"),
            })
            .collect();
        let templates: Vec<&str> = templates.iter().map(String::as_str).collect();
        (with(RouteOptions::default(), &templates), count)
    };
    let [(small, _), (large, count)] = [build(12), build(10_000)];
    for n in 0..count {
        let (path, captured) = match n % 4 {
            0 => (format!("/v1/resource{n}"), None),
            1 => (format!("/v1/resource{n}/q"), Some("q".to_owned())),
            2 => (
                format!(
                    "/v1/a-resource-with-a-name-longer-than-a-cache-line-is-wide-{n}/q:verb{n}"
                ),
                Some("q".into()),
            ),
            _ => {
                let path = format!("resource{n}/q/parts/r/s");
                (format!("/v1/{path}"), Some(path))
            }
        };
        let found = captured_by(&large, &path);
        assert_eq!(found, captured, "{path}");
        if n < 12 {
            let steps = |schema: &Routes| schema.router().steps(&path);
            assert_eq!(steps(&large), steps(&small), "{path}");
        }
    }
    assert_eq!(route(&large, "GET", "/v1/resource10000"), NONE);
    assert_eq!(route(&large, "GET", "/v1/resource2"), NONE);
}

/// Returns the text that the one variable of the route has captured.
fn captured_by(schema: &Routes, path: &str) -> Option<String> {
    let found = schema.router().find(&Method::GET, path).unwrap();
    let mut variables = found.binding.variables.iter();
    variables.next().map(|v| found.captured(v).to_owned())
}

/// Matches by trying every split of the path, without a trie.
fn oracle(segments: &[Segment], path: &[&str]) -> bool {
    match (segments, path) {
        ([], []) => true,
        ([Segment::Literal(text), rest @ ..], [first, path @ ..]) => {
            **text == **first && oracle(rest, path)
        }
        ([Segment::Star, rest @ ..], [_, path @ ..]) => oracle(rest, path),
        ([Segment::Glob, rest @ ..], path) => {
            (0..=path.len()).any(|taken| oracle(rest, &path[taken..]))
        }
        _ => false,
    }
}

fn template() -> impl Strategy<Value = String> {
    let segment = prop_oneof![3 => Just("a"), 3 => Just("b"), 2 => Just("*"), 1 => Just("**")];
    let verb = prop_oneof![3 => Just(""), 1 => Just(":v")];
    (proptest::collection::vec(segment, 1..5), verb).prop_filter_map(
        "one ** at most",
        |(parts, verb)| {
            let text = format!("/{}{verb}", parts.join("/"));
            Template::parse(&text).is_ok().then_some(text)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trie_agrees_with_the_oracle(
        templates in proptest::collection::hash_set(template(), 1..8),
        paths in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c")], 1..6), 40),
        has_verb in any::<bool>(),
    ) {
        let templates: Vec<&str> = templates.iter().map(String::as_str).collect();
        let schema = gets(&templates);
        for path in paths {
            let text = format!("/{}{}", path.join("/"), if has_verb { ":v" } else { "" });
            let matches: Vec<&str> = templates.iter().copied().filter(|template| {
                let template = Template::parse(template).unwrap();
                // A verb that no template of this path registers stays part of the last segment.
                let mut path = path.clone();
                let last = format!("{}:v", path[path.len() - 1]);
                if has_verb && template.verb.is_none() {
                    path.pop();
                    path.push(&last);
                }
                (template.verb.is_none() || has_verb) && oracle(&template.segments, &path)
            }).collect();
            match schema.router().find(&Method::GET, &text) {
                Ok(found) => {
                    let taken = &*found.binding.text;
                    prop_assert!(matches.contains(&taken), "{text}: {taken} of {matches:?}");
                    let verbed = matches.iter().any(|template| template.ends_with(":v"));
                    prop_assert_eq!(taken.ends_with(":v"), verbed, "{}: {:?}", text, matches);
                }
                Err(error) => prop_assert!(matches.is_empty(), "{text}: {error}, {matches:?}"),
            }
        }
    }
}
