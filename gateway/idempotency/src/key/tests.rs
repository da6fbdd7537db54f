use std::collections::BTreeSet;

use auth::Credential;
use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn of(lines: &[&str]) -> Result<Option<String>, Malformed> {
    let lines = lines
        .iter()
        .map(|line| (HEADER, HeaderValue::from_str(line).unwrap()));
    header_key(&lines.collect())
}

#[test]
fn a_key_is_quoted_or_bare() {
    let long = "k".repeat(256);
    for (lines, expected) in [
        (&[][..], Ok(None)),
        (&["\"a b\""], Ok(Some("a b"))),
        (&["a-b"], Ok(Some("a-b"))),
        (&[" \"a\\\"\\\\\" "], Ok(Some("a\"\\"))),
        (&[&long[1..]], Ok(Some(&long[1..]))),
        (&[&*long], Err(Malformed)),
        (&[""], Err(Malformed)),
        (&["\"\""], Err(Malformed)),
        (&["\"a"], Err(Malformed)),
        (&["\"a\" x"], Err(Malformed)),
        (&["\"a\\b\""], Err(Malformed)),
        (&["a b"], Err(Malformed)),
        (&["a,b"], Err(Malformed)),
        (&["a\"b"], Err(Malformed)),
        (&["a", "a"], Err(Malformed)),
    ] {
        let expected = expected.map(|key: Option<&str>| key.map(str::to_owned));
        assert_eq!(of(lines), expected, "{lines:?}");
    }
}

fn identities() -> impl Strategy<Value = Identity> {
    let name = "[ab:1]{0,3}";
    (name, proptest::option::of(name), name).prop_map(|(issuer, tenant, subject)| Identity {
        issuer,
        subject,
        tenant,
        roles: BTreeSet::new(),
        scopes: BTreeSet::new(),
        credential: Credential::Token,
        credential_id: None,
        expires: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// 10,000 pairs of callers, most of whom have much in common.
    #[test]
    fn no_two_identities_share_a_name(
        one in proptest::option::weighted(0.9, identities()),
        other in proptest::option::weighted(0.9, identities()),
        methods in ("[/a.]{1,3}", "[/a.]{1,3}"),
        keys in ("[ab:1]{1,3}", "[ab:1]{1,3}"),
        tokens in ("[xy]{0,1}", "[xy]{0,1}"),
        twin in any::<bool>(),
    ) {
        let other = if twin { one.clone() } else { other };
        let sent = |token: &str| -> HeaderMap {
            let value = HeaderValue::from_str(token).unwrap();
            [(HeaderName::from_static("authorization"), value)].into_iter().collect()
        };
        let (sent, other_sent) = (sent(&tokens.0), sent(&tokens.1));
        let request = Request {
            method: &methods.0,
            message: b"",
            key: None,
            identity: one.as_ref(),
            address: None,
            metadata: &sent,
            deadline: None,
        };
        let second = Request {
            method: &methods.1,
            identity: other.as_ref(),
            metadata: &other_sent,
            ..request
        };
        let is_one_caller = one == other && (one.is_some() || tokens.0 == tokens.1);
        let is_same = is_one_caller && methods.0 == methods.1 && keys.0 == keys.1;
        prop_assert_eq!(request.name(&keys.0) == second.name(&keys.1), is_same);
    }
}
