//! Faults as callers see them.

use super::*;

#[test]
fn carries_reason_metadata_and_violations() {
    let fault = Fault::invalid_argument("BAD_LINE", "line is wrong")
        .metadata("line", "3")
        .violation("lines[3].sku", "unknown")
        .violation_of("int64.gt", "lines[3].quantity", "must be greater than 0")
        .retry_after(Duration::from_secs(2));
    let status = Status::from(fault);
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "line is wrong");
    assert_eq!(reason(&status).as_deref(), Some("BAD_LINE"));
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["line"], "3");
    assert_eq!(details.bad_request().unwrap().field_violations.len(), 2);
    assert_eq!(
        details.retry_info().unwrap().retry_delay,
        Some(Duration::from_secs(2))
    );
}

#[test]
fn violations_keep_the_rule() {
    let fault = Fault::invalid_argument("BAD", "bad").violation_of("string.uuid", "id", "no UUID");
    let status = Status::from(fault);
    let body = pb::Status::decode(status.details()).unwrap();
    let detail = body
        .details
        .iter()
        .find(|any| any.type_url.ends_with("BadRequest"));
    let request = pb::BadRequest::decode(&*detail.unwrap().value).unwrap();
    assert_eq!(request.field_violations[0].reason, "string.uuid");
}

#[test]
fn internals_stay_inside() {
    let source = std::io::Error::other("password is hunter2");
    let status = Status::from(internal(source));
    assert_eq!(status.code(), Code::Internal);
    assert!(!format!("{status:?}").contains("hunter2"));
}

#[test]
fn a_status_without_details_has_no_reason() {
    assert_eq!(reason(&Status::new(Code::NotFound, "gone")), None);
}

#[test]
fn a_code_above_sixteen_keeps_its_number() {
    let details = pb::Status {
        code: 5,
        message: String::new(),
        details: vec![Any::default()],
    };
    let bare = Status::new(Code::Unknown, "no");
    let described = Status::with_details(Code::Unknown, "no", details.encode_to_vec().into());
    for (sent, count) in [(bare, 0), (described, 1)] {
        for (number, expected) in [("2000", 2000), ("17", 17), ("2", 2), ("x", 2)] {
            let mut headers = http::HeaderMap::new();
            sent.add_header(&mut headers).unwrap();
            headers.insert(GRPC_STATUS, number.parse().unwrap());
            let status = from_headers(&headers).unwrap();
            assert_eq!((status.code(), status.message()), (Code::Unknown, "no"));
            assert_eq!(code(&status), expected);
            let found = pb::Status::decode(status.details()).unwrap();
            assert_eq!(found.details.len(), count);
        }
    }
    assert_eq!(code(&Status::not_found("no")), 5);
}
