//! The keys under `[websocket]`.

use chassis::config::ConfigError;
use http::Uri;
use serde::Deserialize;

use crate::settings::reject_key;

/// How WebSocket connections are kept, and who may open one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct WebSocketSettings {
    /// Between pings, in milliseconds; a client that shows no sign of life between two of them is
    /// gone.
    pub ping_interval_ms: u64,
    /// Origins of pages that may connect, besides the gateway's own: `https://app.example`, or `*`.
    pub allowed_origins: Vec<String>,
}

impl WebSocketSettings {
    /// Checks what types cannot say.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.ping_interval_ms == 0 {
            return reject_key(
                "websocket.ping_interval_ms",
                "expected a number above 0, got 0",
            );
        }
        for origin in &self.allowed_origins {
            let uri: Option<Uri> = origin.parse().ok();
            let is_origin = uri.is_some_and(|uri| {
                uri.scheme().is_some() && uri.path() == "/" && !origin.ends_with('/')
            });
            if origin != "*" && !is_origin {
                let problem =
                    format!("`{origin}` is neither an origin, such as https://app.example, nor *");
                return reject_key("websocket.allowed_origins", &problem);
            }
        }
        Ok(())
    }
}
