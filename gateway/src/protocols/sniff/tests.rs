use super::*;

fn sniff(method: &str, path: &str, headers: &[(&str, &str)]) -> Protocol {
    let schema = Schema::compile(&[]).unwrap();
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    Protocol::of(&head, &schema)
}

#[test]
fn content_types_tell_protocols_apart() {
    use Codec::{Json, Proto, Unknown};
    for (content_type, expected) in [
        ("application/grpc", Protocol::Grpc(Proto)),
        ("application/grpc+proto", Protocol::Grpc(Proto)),
        ("Application/gRPC; charset=utf-8", Protocol::Grpc(Proto)),
        ("application/grpc+json", Protocol::Grpc(Json)),
        ("application/grpc+foo", Protocol::Grpc(Unknown)),
        (
            "application/grpc-web",
            Protocol::GrpcWeb(Encoding::Binary, Proto),
        ),
        (
            "application/grpc-web+json",
            Protocol::GrpcWeb(Encoding::Binary, Json),
        ),
        (
            "application/grpc-web-text+proto",
            Protocol::GrpcWeb(Encoding::Text, Proto),
        ),
        ("application/grpcish", Protocol::Rest),
        ("application/connect+proto", Protocol::ConnectStream(Proto)),
        ("application/connect+xml", Protocol::ConnectStream(Unknown)),
        ("application/proto", Protocol::ConnectUnary(Proto)),
        ("application/json", Protocol::Rest),
        ("image/jpeg", Protocol::Rest),
    ] {
        let found = sniff("POST", "/a.B/C", &[("content-type", content_type)]);
        assert_eq!(found, expected, "{content_type}");
    }
}

#[test]
fn a_header_makes_a_request_connects() {
    let name = CONNECT_VERSION;
    let version = (name.as_str(), "1");
    let json = ("content-type", "application/json");
    let found = sniff("POST", "/a.B/C", &[version, json]);
    assert_eq!(found, Protocol::ConnectUnary(Codec::Json));
    assert_eq!(sniff("GET", "/a.B/C", &[version]), Protocol::ConnectGet);
    assert_eq!(
        sniff("DELETE", "/a.B/C", &[version]),
        Protocol::ConnectMismatch
    );
    assert_eq!(sniff("GET", "/a.B/C", &[]), Protocol::Rest);
}
