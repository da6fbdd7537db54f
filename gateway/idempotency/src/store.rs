//! The records in Valkey or Redis.

use std::time::Duration;

use valkey::redis::{Value, cmd};
use valkey::{Error, Valkey};

/// Renews the mark of a call that is still in flight.
const RENEW: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end \
     return 0";

/// Replaces the mark by the outcome. A mark that has expired is another call's by now, or no one's.
const END: &str = "local found = redis.call('GET', KEYS[1]) \
     if found == ARGV[1] or not found then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1 end \
     return 0";

/// Removes the mark, so that the call may be repeated.
const FREE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// One key of one caller.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) store: Valkey,
    pub(crate) name: String,
    pub(crate) mark: Vec<u8>,
}

impl Place {
    /// Leaves the mark, unless there is something already, which is returned.
    pub(crate) async fn begin(&self, lease: Duration) -> Result<Option<Vec<u8>>, Error> {
        let mut command = cmd("SET");
        command
            .arg(&self.name)
            .arg(&self.mark[..])
            .arg("NX")
            .arg("GET");
        command.arg("PX").arg(millis(lease));
        self.store.query(&command).await
    }

    pub(crate) async fn renew(&self, lease: Duration) -> Result<(), Error> {
        let lease = millis(lease).to_string();
        self.evaluate(RENEW, &[lease.as_bytes()]).await
    }

    pub(crate) async fn end(&self, value: &[u8], ttl: Duration) -> Result<(), Error> {
        let ttl = millis(ttl).to_string();
        self.evaluate(END, &[value, ttl.as_bytes()]).await
    }

    pub(crate) async fn free(&self) -> Result<(), Error> {
        self.evaluate(FREE, &[]).await
    }

    /// As text, since the arguments are binary; the scripts are shorter than most answers.
    async fn evaluate(&self, script: &str, arguments: &[&[u8]]) -> Result<(), Error> {
        let mut command = cmd("EVAL");
        command
            .arg(script)
            .arg(1)
            .arg(&self.name)
            .arg(&self.mark[..]);
        for argument in arguments {
            command.arg(*argument);
        }
        let _: Value = self.store.query(&command).await?;
        Ok(())
    }
}

/// At least 1, as the server demands.
fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1)
}
