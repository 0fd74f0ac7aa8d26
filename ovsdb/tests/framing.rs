//! Messages in a stream.

use midoform_ovsdb::{Decoder, FramingError, Limits};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value as Json};

fn decode(bytes: &[u8], parts: &[usize], limits: Limits) -> Result<Vec<Json>, FramingError> {
    let mut decoder = Decoder::new(limits);
    let mut found = Vec::new();
    let mut rest = bytes;
    let mut sizes = parts.iter().copied().cycle();
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(rest.len()).clamp(1, rest.len());
        let (part, behind) = rest.split_at(size);
        decoder.push(part);
        while let Some((message, _)) = decoder.next_message()? {
            found.push(Json::Object(message));
        }
        rest = behind;
    }
    Ok(found)
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::from),
        ".{0,12}".prop_map(Json::String),
        r#"[\\"{}\[\]]{0,8}"#.prop_map(Json::String),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::Array),
            vec((".{0,4}", inner), 0..4).prop_map(|pairs| Json::Object(pairs.into_iter().collect())),
        ]
    })
}

fn message() -> impl Strategy<Value = Json> {
    vec((".{0,4}", json()), 0..4).prop_map(|pairs| Json::Object(pairs.into_iter().collect::<Map<_, _>>()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_arrive_whole_however_the_stream_is_cut(
        messages in vec(message(), 0..5),
        blanks in "[ \t\r\n]{0,3}",
        parts in vec(1_usize..40, 1..6),
    ) {
        let stream: String = messages.iter().map(|message| format!("{blanks}{message}")).collect();
        prop_assert_eq!(decode(stream.as_bytes(), &parts, Limits::default()).unwrap(), messages);
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in vec(any::<u8>(), 0..200), parts in vec(1_usize..40, 1..6)) {
        let limits = Limits { message: 64, depth: 4 };
        let _ = decode(&bytes, &parts, limits);
        let _ = decode(&[b"{\"a\":", bytes.as_slice()].concat(), &parts, limits);
    }
}

#[test]
fn a_message_within_the_limit_is_taken_and_a_longer_one_is_not() {
    let limits = Limits { message: 10, depth: 3 };
    assert_eq!(decode(br#"{"a":1234}"#, &[3], limits).unwrap().len(), 1);
    for long in [&br#"{"a":12345}"#[..], br#"{"a":"bcdefghijk"#] {
        for parts in [1, 100] {
            let error = decode(long, &[parts], limits).unwrap_err();
            assert!(matches!(error, FramingError::TooLarge { limit: 10, .. }), "{error}");
        }
    }
    assert_eq!(decode(br#"{"":[{}]}"#, &[1], limits).unwrap().len(), 1);
    let error = decode(br#"{"":[[[1]]]}"#, &[1], Limits { message: 100, depth: 3 }).unwrap_err();
    assert!(matches!(error, FramingError::TooDeep { limit: 3, .. }), "{error}");
}

#[test]
fn the_deepest_limit_can_be_read() {
    let deep = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    let limits = Limits { depth: usize::MAX, ..Limits::default() };
    assert_eq!(decode(deep(Limits::DEEPEST).as_bytes(), &[99], limits).unwrap().len(), 1);
    assert!(decode(deep(Limits::DEEPEST + 1).as_bytes(), &[99], limits).is_err());
}

#[test]
fn what_is_no_message_is_named_by_its_first_words() {
    for (bytes, words) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], "it sent no JSON object: `HTTP/1.1 400 Bad Request\\r\\n`"),
        (b"[1]", "it sent no JSON object: `[1]`"),
        (b"\x15\x03\x01", "it sent no JSON object: `\\u{15}\\u{3}\\u{1}`"),
        (b"null", "it sent no JSON object: `null`"),
    ] {
        assert_eq!(decode(bytes, &[100], Limits::default()).unwrap_err().to_string(), words);
    }
    for text in ["{\"a\":}", "{\"a\":]"] {
        let error = decode(text.as_bytes(), &[1], Limits::default()).unwrap_err().to_string();
        assert_eq!(error, format!("it sent wrong JSON (expected value at line 1 column 6): `{text}`"));
    }
}
