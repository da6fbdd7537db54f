//! Streams end with their credential.

use std::time::Duration;

use futures::FutureExt;
use http::HeaderMap;
use jsonwebtoken::Algorithm as Signature;
use serde_json::json;

use super::{World, bearer};
use crate::*;

impl World {
    /// A stream with this credential, which ends with a reason.
    async fn stream(&self, headers: &HeaderMap) -> tokio::task::JoinHandle<Rejection> {
        let verified = self.check_headers(headers, None).await.unwrap();
        let presented = self
            .authenticator
            .presented(headers, None)
            .unwrap()
            .unwrap();
        tokio::spawn(self.authenticator.lease(&verified, &presented).ended())
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_the_grace() {
    let world = World::start(Signature::ES256, "").await;
    let headers = bearer(&world.key.sign(&world.claims(json!({}))));
    let mut stream = world.stream(&headers).await;
    world.pass(Duration::from_secs(300)).await;
    assert!((&mut stream).now_or_never().is_none(), "within the grace");
    world.pass(Duration::from_secs(9)).await;
    assert!((&mut stream).now_or_never().is_none(), "within the grace");
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(stream.await.unwrap(), Rejection::Expired);
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked() {
    let world = World::start(Signature::ES256, "").await;
    let sign = |id: &str| bearer(&world.key.sign(&world.claims(json!({ "jti": id }))));
    let revoked = world.stream(&sign("one")).await;
    let mut other = world.stream(&sign("two")).await;
    let revocation = Revocation {
        id: Some("one".to_owned()),
        ..Default::default()
    };
    world.authenticator.revoke(revocation).unwrap();
    assert_eq!(revoked.await.unwrap(), Rejection::Revoked);
    assert!((&mut other).now_or_never().is_none());
}
