//! Answers in Valkey or Redis, which gateways share. The store may be empty, slow or gone at any
//! time: then the service is asked.

use std::fmt::Write;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use tokio::time::Instant;
use valkey::redis::{cmd, pipe};
use valkey::{Error, Valkey};

use crate::answer::Entry;
use crate::codec;
use crate::key::Key;

/// First byte of values; another version of this crate would use another.
const VERSION: u8 = b'1';

/// The store that several caches share.
#[derive(Clone, Debug)]
pub(crate) struct Second {
    store: Valkey,
}

impl Second {
    pub(crate) fn new(store: Valkey) -> Self {
        Self { store }
    }

    /// Returns the answer, if there is one. Its age is what is missing from its life in the store,
    /// whose clock is the only one that counts.
    pub(crate) async fn get(&self, key: &Key) -> Option<Entry> {
        let name = self.name(key);
        let mut commands = pipe();
        commands.cmd("GET").arg(&name).cmd("PTTL").arg(&name);
        let found: Result<(Option<Vec<u8>>, i64), Error> = self.store.pipeline(&commands).await;
        let (value, left) = found
            .inspect_err(|error| tracing::debug!(%error, "no answer from the shared cache"))
            .ok()?;
        read(value?, Duration::from_millis(u64::try_from(left).ok()?))
    }

    /// Keeps an answer, without a wait.
    pub(crate) fn put(&self, key: &Key, entry: &Entry, life: Duration) {
        let Some(left) = life.checked_sub(entry.age()) else {
            return;
        };
        let mut command = cmd("SET");
        let left = millis(left).max(1);
        command
            .arg(self.name(key))
            .arg(written(entry, life))
            .arg("PX")
            .arg(left);
        self.send(command);
    }

    /// Removes an answer, without a wait.
    pub(crate) fn remove(&self, key: &Key) {
        let mut command = cmd("DEL");
        command.arg(self.name(key));
        self.send(command);
    }

    /// Sends a command whose outcome changes nothing here; it takes as long as the store's bound.
    fn send(&self, command: valkey::redis::Cmd) {
        if !self.store.is_available() {
            return;
        }
        let store = self.store.clone();
        tokio::spawn(async move {
            let sent: Result<valkey::redis::Value, Error> = store.query(&command).await;
            if let Err(error) = sent {
                tracing::debug!(%error, "shared cache not written");
            }
        });
    }

    fn name(&self, key: &Key) -> String {
        let mut digest = String::with_capacity(64);
        for byte in key {
            // Writing to a string does not fail.
            let _ = write!(digest, "{byte:02x}");
        }
        self.store.key(&["cache", &digest])
    }
}

fn written(entry: &Entry, life: Duration) -> Vec<u8> {
    let mut value = vec![VERSION];
    value.put_u64(millis(entry.ttl));
    value.put_u64(millis(life));
    codec::put_answer(&entry.answer, &mut value);
    value
}

fn read(value: Vec<u8>, left: Duration) -> Option<Entry> {
    let mut rest = Bytes::from(value);
    if rest.try_get_u8().ok()? != VERSION {
        return None;
    }
    let ttl = Duration::from_millis(rest.try_get_u64().ok()?);
    let life = Duration::from_millis(rest.try_get_u64().ok()?);
    let answer = codec::take_answer(&mut rest)?;
    let asked = Instant::now().checked_sub(life.checked_sub(left)?)?;
    rest.is_empty().then_some(Entry { answer, asked, ttl })
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::answer::Answer;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_answer_is_read_as_it_was_written(
            message in proptest::collection::vec(any::<u8>(), 0..100),
            (ttl, more) in (1_u64..1000, 0_u64..1000),
        ) {
            let answer = Answer { message: message.into(), ..Answer::default() };
            let (ttl, life) = (Duration::from_secs(ttl), Duration::from_secs(ttl + more));
            let entry = Entry { answer, asked: Instant::now(), ttl };
            let found = read(written(&entry, life), life).unwrap();
            prop_assert_eq!(&found.answer, &entry.answer);
            prop_assert_eq!(found.ttl, ttl);
            prop_assert!(read(written(&entry, life), life + ttl).is_none());
        }

        #[test]
        fn no_value_makes_it_panic(value in proptest::collection::vec(any::<u8>(), 0..100)) {
            let whole = [&[VERSION][..], &value].concat();
            read(value, Duration::ZERO);
            read(whole, Duration::ZERO);
        }
    }
}
