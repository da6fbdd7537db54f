//! Verifiers of passwords (SCRAM-SHA-256, RFC 5802 and RFC 7677): the form in which Postgres keeps
//! a password, and from which nobody can log in.

use std::num::NonZeroU32;

use aws_lc_rs::hmac::{HMAC_SHA256, Key};
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The least of RFC 7677 §4, and the default of Postgres; the passwords are random anyway.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();
const SALT_BYTES: usize = 16;

/// Returns the verifier of a password in ASCII, with a new salt, for `PASSWORD '…'` of a role.
pub(super) fn verifier(password: &str) -> String {
    with_salt(password, &rand::random::<[u8; SALT_BYTES]>())
}

fn with_salt(password: &str, salt: &[u8]) -> String {
    let salted = salted(password, salt);
    let client = hmac::sign(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client.as_ref());
    let server = hmac::sign(&salted, b"Server Key");
    let [salt, stored, server] =
        [salt, stored.as_ref(), server.as_ref()].map(|bytes| STANDARD.encode(bytes));
    format!("SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}")
}

/// `Hi` of RFC 5802 §2.2, which is PBKDF2, as a key.
fn salted(password: &str, salt: &[u8]) -> Key {
    let mut salted = [0; digest::SHA256_OUTPUT_LEN];
    let (kind, password) = (pbkdf2::PBKDF2_HMAC_SHA256, password.as_bytes());
    pbkdf2::derive(kind, ITERATIONS, salt, password, &mut salted);
    Key::new(HMAC_SHA256, &salted)
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
        let server = hmac::sign(&salted, b"Server Key");
        let signature = hmac::sign(&Key::new(HMAC_SHA256, server.as_ref()), auth);
        let expected = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(STANDARD.encode(signature), expected);

        let client = hmac::sign(&salted, b"Client Key");
        let stored = digest::digest(&digest::SHA256, client.as_ref());
        let signature = hmac::sign(&Key::new(HMAC_SHA256, stored.as_ref()), auth);
        let (client, signature) = (client.as_ref().iter(), signature.as_ref());
        let proof: Vec<u8> = client.zip(signature).map(|(a, b)| a ^ b).collect();
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
