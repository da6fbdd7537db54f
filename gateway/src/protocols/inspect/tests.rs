use http_body_util::{BodyExt, StreamBody};
use transcoder::Schema;

use super::*;

const LEVELS: Levels = Levels {
    gzip: 6,
    br: 4,
    zstd: 3,
};

/// Returns a body in pieces of this size, inspected as messages of `google.protobuf.Duration`.
async fn pass(bytes: &[u8], size: usize, coding: Option<Coding>) -> Result<Vec<u8>, Status> {
    let schema = Schema::compile(&[]).unwrap();
    let validator = schema.validator("google.protobuf.Duration").unwrap();
    let pieces: Vec<_> = bytes
        .chunks(size)
        .map(|piece| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    let source = Body::new(StreamBody::new(tokio_stream::iter(pieces)));
    let refused = AbortReason::default();
    let body = InspectedBody::of(
        source,
        MessageTask::Check(MessagePolicy::from(Some(validator))),
        coding,
        ByteLimit {
            bytes: 1000,
            key: "max_body_bytes",
        },
        refused.clone(),
        None,
    );
    let passed = body.collect().await;
    assert_eq!(passed.is_err(), refused.get().is_some());
    Ok(passed?.to_bytes().to_vec())
}

fn frame(flags: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![flags];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

#[tokio::test]
async fn what_is_checked_passes_as_it_came_however_it_is_cut() {
    let packed = compression::compress(Coding::Gzip, LEVELS, b"\x08\x05").unwrap();
    let bytes = [frame(0, b"\x08\x05"), frame(0, b""), frame(1, &packed)].concat();
    for size in 1..bytes.len() {
        assert_eq!(pass(&bytes, size, Some(Coding::Gzip)).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn what_is_cut_off_too_large_or_no_message_is_refused() {
    for coding in [Coding::Gzip, Coding::Br, Coding::Zstd, Coding::Deflate] {
        let bomb = compression::compress(coding, LEVELS, &vec![0; 1 << 20]).unwrap();
        assert!(bomb.len() < 2000, "{coding:?}: {}", bomb.len());
        let small = bomb.len() <= 1000;
        let status = pass(&frame(1, &bomb), 100, Some(coding)).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{coding:?} {small}");
        let status = pass(&frame(1, b"spoiled"), 100, Some(coding))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{coding:?}");
    }
    for (bytes, code) in [
        (frame(0, &[0; 1001]), Code::ResourceExhausted),
        (frame(1, b"\x08\x05"), Code::Internal),
        (frame(2, b"{}"), Code::Internal),
        (frame(0, b"\x08"), Code::InvalidArgument),
        (frame(0, b"\x08\x05")[..6].to_vec(), Code::Internal),
        (vec![0, 0, 0], Code::Internal),
    ] {
        let status = pass(&bytes, 100, None).await.unwrap_err();
        assert_eq!(status.code(), code, "{bytes:?}");
    }
}

#[test]
fn an_unknown_coding_is_answered_with_those_that_are_taken() {
    let headers = |coding: &'static str| {
        let value = http::HeaderValue::from_static(coding);
        HeaderMap::from_iter([(ENCODING, value)])
    };
    assert_eq!(coding(&headers("identity")).unwrap(), None);
    assert_eq!(coding(&headers("zstd")).unwrap(), Some(Coding::Zstd));
    let status = coding(&headers("snappy")).unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(
        status.metadata().get("grpc-accept-encoding").unwrap(),
        CODINGS
    );
}
