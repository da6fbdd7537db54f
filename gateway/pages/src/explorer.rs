//! The API explorer: Swagger UI, the page that starts it and its looks, out of this binary.

use crate::page::{Page, tag};

/// One file, under `/docs/`.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

macro_rules! unpacked {
    ($file:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $file))
    };
}

const ASSETS: [Asset; 6] = [
    Asset {
        name: "",
        content_type: "text/html; charset=utf-8",
        content: include_bytes!("explorer/index.html"),
    },
    Asset {
        name: "explorer.js",
        content_type: "text/javascript; charset=utf-8",
        content: include_bytes!("explorer/explorer.js"),
    },
    Asset {
        name: "explorer.css",
        content_type: "text/css; charset=utf-8",
        content: include_bytes!("explorer/explorer.css"),
    },
    Asset {
        name: "swagger-ui-bundle.js",
        content_type: "text/javascript; charset=utf-8",
        content: unpacked!("swagger-ui-bundle.js"),
    },
    Asset {
        name: "swagger-ui.css",
        content_type: "text/css; charset=utf-8",
        content: unpacked!("swagger-ui.css"),
    },
    Asset {
        name: "favicon-32x32.png",
        content_type: "image/png",
        content: unpacked!("favicon-32x32.png"),
    },
];

/// The page runs our scripts and speaks to us, and that is all: a document that was tampered with
/// can neither load nor send anything elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Returns the file of this name; `None` where there is none.
pub fn file(name: &str) -> Option<Page> {
    let asset = ASSETS.iter().find(|asset| asset.name == name)?;
    let content = bytes::Bytes::from_static(asset.content);
    let page = Page::new(asset.content_type, tag(&[asset.content]), content);
    Some(page.shown(POLICY))
}
