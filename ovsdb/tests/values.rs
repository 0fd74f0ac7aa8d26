//! Values, and their reading by types.

use std::collections::{BTreeMap, BTreeSet};

use midoform_ovsdb::{Atom, AtomType, BaseType, ColumnType, Real, Value};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use uuid::Uuid;

fn atom(kind: AtomType) -> BoxedStrategy<Atom> {
    match kind {
        AtomType::Integer => any::<i64>().prop_map(Atom::Integer).boxed(),
        AtomType::Real => prop_oneof![any::<f64>(), any::<i32>().prop_map(f64::from)]
            .prop_filter_map("finite", Real::new)
            .prop_map(Atom::Real)
            .boxed(),
        AtomType::Boolean => any::<bool>().prop_map(Atom::Boolean).boxed(),
        AtomType::String => "[^\0]{0,6}".prop_map(Atom::String).boxed(),
        AtomType::Uuid => any::<u128>().prop_map(|number| Atom::Uuid(Uuid::from_u128(number))).boxed(),
    }
}

fn atom_type() -> impl Strategy<Value = AtomType> {
    prop::sample::select(vec![
        AtomType::Integer,
        AtomType::Real,
        AtomType::Boolean,
        AtomType::String,
        AtomType::Uuid,
    ])
}

fn typed_value() -> impl Strategy<Value = (ColumnType, Value)> {
    let set = atom_type().prop_flat_map(|kind| {
        let elements = prop::collection::btree_set(atom(kind), 0..4);
        elements.prop_map(move |elements| (ColumnType::set(kind), Value::from(elements)))
    });
    let map = (atom_type(), atom_type()).prop_flat_map(|(key, value)| {
        let pairs = prop::collection::btree_map(atom(key), atom(value), 0..4);
        pairs.prop_map(move |pairs| (ColumnType::map(key, value), Value::from(pairs)))
    });
    prop_oneof![set, map]
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<f64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        prop::sample::select(vec!["set", "map", "uuid", "named-uuid", "x"]).prop_map(Json::from),
        Just(json!("550e8400-e29b-41d4-a716-446655440000")),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| prop::collection::vec(inner, 0..4).prop_map(Json::Array))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_is_read_as_it_was_written((kind, value) in typed_value()) {
        let written = serde_json::to_string(&value).unwrap();
        let read = kind.read(serde_json::from_str(&written).unwrap()).unwrap();
        prop_assert_eq!(&read, &value);
        prop_assert!(kind.check(&read).is_ok());
    }

    #[test]
    fn json_of_any_shape_is_a_value_of_the_type_or_an_error(kind in typed_value(), json in json()) {
        if let Ok(value) = kind.0.read(json) {
            prop_assert!(kind.0.check(&value).is_ok());
        }
    }
}

#[test]
fn a_set_of_one_element_and_an_atom_are_the_same() {
    let kind = ColumnType::set(AtomType::String);
    let read = |json: Json| kind.read(json).unwrap();
    assert_eq!(read(json!("a")), read(json!(["set", ["a"]])));
    assert_eq!(Value::from("a"), Value::set(["a"]));
    assert_eq!(json!(Value::set(["a"])), json!("a"));
    assert_eq!(json!(Value::set(["b", "a"])), json!(["set", ["a", "b"]]));
    assert_eq!(json!(Value::empty_set()), json!(["set", []]));
    assert_eq!(json!(Value::map([("k", 1_i64)])), json!(["map", [["k", 1]]]));
    let uuid = Uuid::from_u128(7);
    let uuids = ColumnType::set(AtomType::Uuid);
    assert_eq!(uuids.read(json!(["uuid", uuid])).unwrap(), Value::from(uuid));
    assert_eq!(uuids.read(json!(["set", [["uuid", uuid]]])).unwrap(), Value::from(uuid));
    assert_eq!(json!(Value::from(Atom::NamedUuid("x".to_owned()))), json!(["named-uuid", "x"]));
}

#[test]
fn wrong_json_is_refused_by_the_type() {
    let [integer, real, text, uuid] =
        [AtomType::Integer, AtomType::Real, AtomType::String, AtomType::Uuid].map(ColumnType::from);
    let map = ColumnType::map(AtomType::String, AtomType::Integer);
    for (kind, json, found) in [
        (&integer, json!(1.5), "integer is expected, not 1.5"),
        (&integer, json!(u64::MAX), "integer is expected, not 18446744073709551615"),
        (&integer, json!("1"), "integer is expected, not \"1\""),
        (&real, json!(null), "real is expected, not null"),
        (&text, json!({ "a": 1 }), "string is expected, not {\"a\":1}"),
        (&text, json!(["uuid", "x"]), "string is expected, not [\"uuid\",\"x\"]"),
        (&uuid, json!(["uuid", "x"]), "uuid is expected, not [\"uuid\",\"x\"]"),
        (&uuid, json!(["uuid", "550e8400e29b41d4a716446655440000"]), "uuid is expected, not "),
        (&uuid, json!(["named-uuid", "x"]), "uuid is expected, not "),
        (&map, json!(["set", []]), "a map from string to integer is expected, not [\"set\",[]]"),
        (&map, json!(["map", [["a", 1, 2]]]), "a pair is expected, not [\"a\",1,2]"),
        (&map, json!(["map", [["a", "b"]]]), "integer is expected, not \"b\""),
    ] {
        let error = kind.read(json).unwrap_err().to_string();
        assert!(error.starts_with(found), "{error}");
    }
    assert_eq!(real.read(json!(5)).unwrap(), Value::from(Real::new(5.0).unwrap()));
}

#[test]
fn constraints_are_checked_before_a_value_is_sent() {
    let plain = |atom: AtomType| BaseType::from(atom);
    let named =
        BaseType { allowed: Some(BTreeSet::from(["a".into(), "b".into()])), ..plain(AtomType::String) };
    let small = BaseType { integers: (1, 9), ..plain(AtomType::Integer) };
    let short = BaseType { length: (1, 2), ..plain(AtomType::String) };
    let part = BaseType { reals: (0.0, 1.0), ..plain(AtomType::Real) };
    let two = ColumnType { most: Some(2), ..ColumnType::set(AtomType::Integer) };
    let real = |number| Value::from(Real::new(number).unwrap());
    for (kind, good, wrong, reason) in [
        (ColumnType::set(named), "a".into(), "c".into(), "one of \"a\", \"b\" is expected, not \"c\""),
        (ColumnType::set(small), 9.into(), 10.into(), "an integer from 1 to 9 is expected, not 10"),
        (
            ColumnType::set(short),
            "éé".into(),
            "".into(),
            "a string of 1 to 2 characters is expected, not \"\"",
        ),
        (ColumnType::set(part), real(0.5), real(1.5), "a real from 0 to 1 is expected, not 1.5"),
        (two, Value::set([1, 2]), Value::set([1, 2, 3]), "0 to 2 elements is expected, not 3 elements"),
        (ColumnType::from(AtomType::Boolean), true.into(), Value::empty_set(), "1 to 1 elements"),
        (ColumnType::from(AtomType::Boolean), true.into(), Value::empty_map(), "boolean is expected, not {}"),
        (ColumnType::from(AtomType::Boolean), true.into(), 1.into(), "boolean is expected, not 1"),
    ] {
        kind.check(&good).unwrap();
        let error = kind.check(&wrong).unwrap_err().to_string();
        assert!(error.starts_with(reason), "{error}");
    }
    let named = Value::from(Atom::NamedUuid("x".to_owned()));
    ColumnType::set(AtomType::Uuid).check(&named).unwrap();
}

#[test]
fn numbers_and_strings_that_json_can_not_carry_are_refused() {
    assert_eq!([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(Real::new), [None; 3]);
    assert_eq!(Real::new(-0.0), Real::new(0.0));
    assert!(serde_json::to_string(&Value::from("a\0b")).is_err());
}

#[test]
fn values_are_shown_as_the_tools_of_open_vswitch_show_them() {
    let map: BTreeMap<Atom, Atom> = [("a".into(), 1.into())].into();
    for (value, shown) in [
        (Value::from("a\n"), "\"a\\n\""),
        (Value::set([2, 1]), "[1, 2]"),
        (Value::from(map), "{\"a\"=1}"),
        (Value::empty_set(), "[]"),
    ] {
        assert_eq!(value.to_string(), shown);
    }
}
