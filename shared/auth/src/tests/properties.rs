//! Properties of tokens: none that was changed is accepted, and no text breaks the parser.

use std::sync::LazyLock;
use std::time::SystemTime;

use jsonwebtoken::Algorithm as Signature;
use proptest::prelude::*;
use serde_json::json;

use crate::Unverified;
use crate::testing::{SigningKey, in_seconds};
use crate::token::KeySet;

static SIGNED: LazyLock<(KeySet, String)> = LazyLock::new(|| {
    let key = SigningKey::generate(Signature::ES256, "one");
    let keys = json!({ "keys": [key.jwk()] }).to_string();
    let claims = json!({ "sub": "alice", "exp": in_seconds(SystemTime::now(), 60) });
    (KeySet::parse(keys.as_bytes()).unwrap(), key.sign(&claims))
});

fn is_accepted(text: &str) -> bool {
    Unverified::parse(text).is_ok_and(|token| SIGNED.0.verify(&token).is_ok())
}

#[test]
fn the_token_itself_is_accepted() {
    assert!(is_accepted(&SIGNED.1));
}

proptest! {
    #[test]
    fn no_changed_token_is_accepted(place in any::<prop::sample::Index>(), byte in 0x20u8..0x7f) {
        let mut token = SIGNED.1.clone().into_bytes();
        let place = place.index(token.len());
        prop_assume!(token[place] != byte);
        token[place] = byte;
        prop_assert!(!is_accepted(&String::from_utf8(token).unwrap()));
    }

    #[test]
    fn no_part_of_a_token_is_accepted(end in any::<prop::sample::Index>(), more in "[.=A-Za-z]{0,3}") {
        let cut = &SIGNED.1[..end.index(SIGNED.1.len())];
        let token = [cut, &more].concat();
        prop_assert!(!is_accepted(&token) || token == SIGNED.1);
    }

    #[test]
    fn no_text_breaks_the_parser(text in "\\PC{0,200}|[A-Za-z0-9_.=-]{0,400}") {
        prop_assert!(!is_accepted(&text));
    }
}
