//! Verifiers of passwords (SCRAM-SHA-256, RFC 5802 and RFC 7677): the form in which Postgres keeps
//! a password, and from which nobody can log in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The least of RFC 7677 §4, and the default of Postgres; the passwords are random anyway.
const ITERATIONS: u32 = 4096;
const SALT_BYTES: usize = 16;
/// The block size of SHA-256.
const BLOCK_BYTES: usize = 64;

/// Returns the verifier of a password in ASCII, with a new salt, for `PASSWORD '…'` of a role.
pub(super) fn verifier(password: &str) -> String {
    with_salt(password, &rand::random::<[u8; SALT_BYTES]>())
}

fn with_salt(password: &str, salt: &[u8]) -> String {
    let salted = salted(password, salt);
    let stored = Sha256::digest(Hmac::new(&salted).of(&[b"Client Key"]));
    let server = Hmac::new(&salted).of(&[b"Server Key"]);
    let [salt, stored, server] =
        [salt, stored.as_slice(), &server].map(|bytes| STANDARD.encode(bytes));
    format!("SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}")
}

/// `Hi` of RFC 5802 §2.2.
fn salted(password: &str, salt: &[u8]) -> [u8; 32] {
    let mac = Hmac::new(password.as_bytes());
    let mut last = mac.of(&[salt, &1u32.to_be_bytes()]);
    let mut sum = last;
    for _ in 1..ITERATIONS {
        last = mac.of(&[&last]);
        sum.iter_mut()
            .zip(last)
            .for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

/// HMAC-SHA-256 (RFC 2104), the hashes of whose padded key are kept.
struct Hmac {
    inner: Sha256,
    outer: Sha256,
}

impl Hmac {
    /// `key` has at most [`BLOCK_BYTES`]; keys here are hashes and passwords of 32.
    fn new(key: &[u8]) -> Self {
        let padded = |pad: u8| {
            let mut block = [pad; BLOCK_BYTES];
            block
                .iter_mut()
                .zip(key)
                .for_each(|(byte, key)| *byte ^= key);
            Sha256::new_with_prefix(block)
        };
        Self {
            inner: padded(0x36),
            outer: padded(0x5c),
        }
    }

    fn of(&self, message: &[&[u8]]) -> [u8; 32] {
        let mut inner = self.inner.clone();
        message.iter().for_each(|part| inner.update(part));
        let outer = self.outer.clone().chain_update(inner.finalize());
        outer.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_is_that_of_the_rfc() {
        // RFC 7677 §3: the proof and the signature of its exchange.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = salted("pencil", &salt);
        let auth = b"n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let server = Hmac::new(&salted).of(&[b"Server Key"]);
        let signature = Hmac::new(&server).of(&[auth]);
        let expected = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(STANDARD.encode(signature), expected);

        let client = Hmac::new(&salted).of(&[b"Client Key"]);
        let stored = Sha256::digest(client);
        let signature = Hmac::new(&stored).of(&[auth]);
        let proof: Vec<u8> = client.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let expected = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(STANDARD.encode(proof), expected);

        let verifier = with_salt("pencil", &salt);
        let expected = format!(
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==${}:{}",
            STANDARD.encode(stored),
            STANDARD.encode(server)
        );
        assert_eq!(verifier, expected);
    }

    #[test]
    fn a_verifier_has_a_salt_of_its_own() {
        assert_ne!(verifier("pencil"), verifier("pencil"));
    }
}
