//! Prints the time of making and checking a token, kept and new: `cargo run --release -p
//! protomesh-auth --example cost`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement for people"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use auth::internal::{Signer, TrustedKeys, Verifier};
use auth::{Credential, Identity};

const KEPT: u32 = 1_000_000;
const NEW: u32 = 5_000;
const METHOD: &str = "/stock.v1.StockService/Reserve";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let signer = Arc::new(Signer::new("orders").unwrap());
    let alice = caller(0);
    time("mint, kept", KEPT, |_| {
        std::hint::black_box(signer.forward(METHOD, Some(&alice)).unwrap());
    });
    let callers: Vec<Arc<Identity>> = (0..NEW).map(|number| caller(number + 1)).collect();
    let mut tokens = Vec::new();
    time("mint, new", NEW, |number| {
        let caller = &callers[number as usize];
        tokens.push(signer.forward(METHOD, Some(caller)).unwrap());
    });
    let keys = signer.clone();
    let keys = TrustedKeys::new(move || {
        let set = keys.key_set();
        async move { Ok(set) }
    });
    let verifier = Verifier::new([("orders".to_owned(), keys)]);
    verifier.refresh().await.unwrap();
    let begun = Instant::now();
    for token in &tokens {
        let token = token.to_str().unwrap();
        std::hint::black_box(verifier.verify(token, METHOD).await.unwrap());
    }
    report("verify, new", NEW, begun);
    let token = signer.forward(METHOD, Some(&alice)).unwrap();
    let token = token.to_str().unwrap();
    println!("bytes of a token: {}", token.len());
    let begun = Instant::now();
    for _ in 0..KEPT {
        std::hint::black_box(verifier.verify(token, METHOD).await.unwrap());
    }
    report("verify, kept", KEPT, begun);
}

fn caller(number: u32) -> Arc<Identity> {
    Arc::new(Identity {
        issuer: "https://issuer.example".to_owned(),
        subject: format!("user-{number}"),
        tenant: Some("acme".to_owned()),
        roles: BTreeSet::from(["buyer".to_owned(), "clerk".to_owned()]),
        scopes: BTreeSet::from(["orders.read".to_owned()]),
        credential: Credential::Token,
        credential_id: Some(format!("t-{number}")),
        expires: None,
    })
}

fn time(name: &str, times: u32, mut work: impl FnMut(u32)) {
    let begun = Instant::now();
    (0..times).for_each(&mut work);
    report(name, times, begun);
}

fn report(name: &str, times: u32, begun: Instant) {
    let each = begun.elapsed().as_nanos() / u128::from(times);
    println!("{name}: {each} ns");
}
