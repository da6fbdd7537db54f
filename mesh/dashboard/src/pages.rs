//! The files of the page, which are part of the program.

use http::{Response, StatusCode};

use crate::respond::{PageBody, text};

/// The files: path, type and content.
const FILES: [(&str, &str, &str); 4] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("../assets/index.html"),
    ),
    (
        "/style.css",
        "text/css; charset=utf-8",
        include_str!("../assets/style.css"),
    ),
    (
        "/script.js",
        "text/javascript; charset=utf-8",
        include_str!("../assets/script.js"),
    ),
    (
        "/icon.svg",
        "image/svg+xml",
        include_str!("../assets/icon.svg"),
    ),
];

/// Returns the file at a path.
pub(crate) fn file(path: &str) -> Option<Response<PageBody>> {
    let (_, content_type, content) = FILES.iter().find(|(known, ..)| *known == path)?;
    Some(text(StatusCode::OK, content_type, *content))
}
