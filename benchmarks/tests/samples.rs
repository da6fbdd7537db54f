//! Samples have their properties, and every contestant converts them completely.

use benchmarks::{
    codec,
    corpus::{self, ORDER, REPORT, SAMPLES},
    measure::{self, Effort},
};

#[test]
fn the_samples_have_the_sizes_that_are_promised() {
    assert!(
        (1045..=1155).contains(&ORDER.json.len()),
        "{}",
        ORDER.json.len()
    );
    assert!(
        (29_450..=32_550).contains(&REPORT.json.len()),
        "{}",
        REPORT.json.len()
    );
}

#[test]
fn all_contestants_read_and_write_the_same() {
    let schema = corpus::schema().unwrap();
    for sample in SAMPLES {
        let mut codecs = codec::all(sample, &schema).unwrap();
        assert_eq!(codecs.len(), 4);
        codec::verify(sample, &mut codecs).unwrap();
    }
}

#[test]
fn a_contestant_that_loses_something_is_found() {
    let schema = corpus::schema().unwrap();
    // The order's route with a text of another order.
    let other = corpus::Sample {
        json: r#"{"name":"orders/2"}"#,
        ..ORDER
    };
    struct Fixed;
    impl codec::Codec for Fixed {
        fn name(&self) -> &'static str {
            "fixed"
        }
        fn json_to_wire(&mut self, _: &[u8], wire: &mut Vec<u8>) -> anyhow::Result<()> {
            wire.extend_from_slice(b"\x0a\x08orders/1");
            Ok(())
        }
        fn wire_to_json(&mut self, _: &[u8], json: &mut Vec<u8>) -> anyhow::Result<()> {
            json.extend_from_slice(br#"{"name":"orders/1"}"#);
            Ok(())
        }
    }
    codec::verify(&other, &mut codec::all(&other, &schema).unwrap()).unwrap();
    let error = codec::verify(&other, &mut [Box::new(Fixed)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "fixed: the wire bytes decode to a different order"
    );
}

#[test]
fn the_texts_are_canonical_so_that_there_and_back_gives_the_same_bytes() {
    let schema = corpus::schema().unwrap();
    for sample in [ORDER, REPORT] {
        let found = sample.route(&schema).unwrap();
        let (mut wire, mut json) = (Vec::new(), Vec::new());
        found
            .encode_request(None, sample.json.as_bytes(), &mut wire)
            .unwrap();
        found.route().write_response(&wire, &mut json).unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), sample.json);
    }
}

#[test]
fn the_results_of_a_routing_contest_are_numbers() {
    let routed = measure::routing(Effort {
        rounds: 1,
        ..Effort::QUICK
    })
    .unwrap();
    assert!(routed.ns_10 > 0.0 && routed.ratio > 0.0 && routed.ratio_spread > 0.0);
}

#[test]
fn ndjson_comes_out_as_it_went_in_wherever_its_chunks_end() {
    let bytes = 500_000;
    let streamed = measure::ndjson(&corpus::schema().unwrap(), bytes).unwrap();
    assert_eq!(streamed.messages, bytes / (ORDER.json.len() as u64 + 1));
}
