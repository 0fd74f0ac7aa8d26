//! Schemas.

use midoform_ovsdb::{AtomType, ColumnType, DatabaseSchema};
use serde_json::{Value as Json, json};

use crate::support::{chain, client, is_skipped, runtime, schema};

#[test]
fn a_schema_is_read() {
    let read = DatabaseSchema::read(&schema()).unwrap();
    assert_eq!((read.name.as_str(), read.version.as_str()), ("Things", "1.0.0"));
    let thing = read.table("Thing").unwrap();
    assert!(thing.is_root && !read.table("Part").unwrap().is_root);
    assert_eq!(thing.indexes, [["name"]]);
    let column = |name: &str| thing.column(name).unwrap();
    assert_eq!(column("number").key.integers, (0, 1000));
    assert_eq!(column("ratio"), &ColumnType::from(AtomType::Real));
    assert_eq!(column("note"), &ColumnType::optional(AtomType::String));
    assert_eq!(column("weights"), &ColumnType::map(AtomType::Integer, AtomType::Real));
    assert_eq!(column("numbers").most, Some(3));
    assert_eq!(column("kind").key.allowed.as_ref().unwrap().len(), 3);
    assert_eq!(column("parts").key.table.as_deref(), Some("Part"));
    assert!(column("friend").key.is_weak && !column("parts").key.is_weak);
    assert_eq!(column("_uuid"), &ColumnType::from(AtomType::Uuid));
}

#[test]
fn a_wrong_schema_is_refused_with_the_place() {
    let with_type =
        |kind: Json| json!({ "name": "x", "tables": { "T": { "columns": { "c": { "type": kind } } } } });
    for (schema, reason) in [
        (json!([]), "``: it is no object"),
        (json!({}), "``: the name is missing"),
        (json!({ "name": 1 }), "`name`: its value is wrong"),
        (json!({ "name": "x" }), "`tables`: it is no object"),
        (json!({ "name": "x", "tables": { "T": {} } }), "`tables/T/columns`: it is no object"),
        (with_type(json!(null)), "`tables/T/columns/c/type`: it is no object"),
        (with_type(json!("text")), "`tables/T/columns/c/type`: no type is called `text`"),
        (with_type(json!({ "key": {} })), "`tables/T/columns/c/type/key`: the type is missing"),
        (
            with_type(json!({ "key": "string", "max": -1 })),
            "`tables/T/columns/c/type/max`: its value is wrong",
        ),
        (
            with_type(json!({ "key": { "type": "string", "enum": ["set", [1]] } })),
            "`tables/T/columns/c/type/key/enum`: string is expected, not 1",
        ),
    ] {
        let error = DatabaseSchema::read(&schema).unwrap_err().to_string();
        assert_eq!(error, format!("the schema is wrong at {reason}"));
    }
}

/// The schemas that come with Open Virtual Network are the largest that exist.
#[test]
fn the_northbound_schema_is_read() {
    let file = "/usr/share/ovn/ovn-nb.ovsschema";
    let Ok(text) = std::fs::read_to_string(file) else {
        println!("SKIPPED: {file} is missing (ovn-common)");
        return;
    };
    let schema = DatabaseSchema::read(&serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!(schema.name, "OVN_Northbound");
    let switch = schema.table("Logical_Switch").unwrap();
    assert_eq!(switch.column("ports").unwrap().key.table.as_deref(), Some("Logical_Switch_Port"));
    let acl = schema.table("ACL").unwrap();
    assert_eq!(acl.column("priority").unwrap().key.integers, (0, 32767));
    if is_skipped() {
        return;
    }
    let servers = midoform_testutil::ovsdb::Servers::alone(std::path::Path::new(file));
    runtime().block_on(async {
        let mut settings = client(&servers.unix(0)).settings().clone();
        settings.database = "OVN_Northbound".to_owned();
        let northbound = midoform_ovsdb::Client::new(settings).unwrap();
        assert_eq!(*northbound.schema().await.unwrap(), schema);
        let error = client(&servers.unix(0)).schema().await.unwrap_err();
        assert!(chain(&error).contains("it does not have the database Things"), "{}", chain(&error));
    });
}
