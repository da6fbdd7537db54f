//! Negotiates the coding of a response by `Accept-Encoding` (RFC 9110 §12.5.3).

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;
use rpc::headers::list;

use crate::coding::Coding;

/// The coding that the caller likes best, of several the one that is offered first; `None` is the
/// response as it is.
pub fn negotiate(headers: &HeaderMap, offered: &[Coding]) -> Option<Coding> {
    headers.get(ACCEPT_ENCODING)?;
    let wishes: Vec<(&str, u16)> = list(headers, ACCEPT_ENCODING).filter_map(wish).collect();
    let quality = |coding: &Coding| {
        let named = |(name, _): &&(&str, u16)| Coding::of(name) == Some(*coding);
        let found = wishes.iter().find(named);
        let found = found.or_else(|| wishes.iter().find(|(name, _)| *name == "*"));
        found.map_or(0, |(_, quality)| *quality)
    };
    let identity = wishes
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("identity"));
    let identity = identity.map_or(0, |(_, quality)| *quality);
    let rated = offered
        .iter()
        .rev()
        .map(|coding| (quality(coding), *coding));
    let (best, coding) = rated.max_by_key(|(quality, _)| *quality)?;
    (best > 0 && best >= identity).then_some(coding)
}

/// Parses one element, with its quality in thousandths; malformed ones are ignored.
fn wish(element: &str) -> Option<(&str, u16)> {
    let (name, parameter) = element.split_once(';').unwrap_or((element, "q=1"));
    let (key, value) = parameter.trim().split_once('=')?;
    let quality: f32 = value.trim().parse().ok()?;
    let is_quality = key.trim().eq_ignore_ascii_case("q") && (0.0..=1.0).contains(&quality);
    is_quality.then_some((name.trim(), (quality * 1000.0) as u16))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_caller_rates_and_the_order_of_the_offer_settles() {
        let offered = [Coding::Zstd, Coding::Br, Coding::Gzip];
        for (accept, expected) in [
            ("gzip", Some(Coding::Gzip)),
            ("GZIP", Some(Coding::Gzip)),
            ("gzip, br", Some(Coding::Br)),
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("gzip;q=1.0, zstd;q=0.5", Some(Coding::Gzip)),
            ("gzip; q=0.001", Some(Coding::Gzip)),
            ("*", Some(Coding::Zstd)),
            ("zstd;q=0, *", Some(Coding::Br)),
            ("gzip;q=0.5, identity", None),
            ("gzip;q=0.5, identity;q=0.5", Some(Coding::Gzip)),
            ("deflate", None),
            ("identity", None),
            ("gzip;q=0", None),
            ("*;q=0", None),
            ("gzip;q=x", None),
            ("gzip;q=2", None),
            ("gzip;q=NaN", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accept));
            assert_eq!(negotiate(&headers, &offered), expected, "{accept}");
        }
        assert_eq!(negotiate(&HeaderMap::new(), &offered), None);
    }
}
