//! The JSON form of a plan, field by field: its JSON Schema, and the tables in `docs/plan-format.md`, are made from these lists.

use serde_json::{Map, Value, json};

use super::FORMAT;

use self::FieldValue::{
    Any, Constant, Exactly, Hash, Json, List, Many, Number, One, Text, Texts, True, Words,
};

/// A field of an object of the JSON form.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// True if the object always has it.
    pub is_required: bool,
    /// Its values.
    pub value: FieldValue,
    /// What it is, in the words of the documentation.
    pub meaning: &'static str,
}

/// The values of a field.
#[derive(Clone, Copy, Debug)]
pub enum FieldValue {
    /// Any text.
    Text,
    /// This text alone.
    Exactly(&'static str),
    /// One of these words.
    Words(&'static [&'static str]),
    /// A hash in 64 hex digits.
    Hash,
    /// A number that is not negative.
    Number,
    /// This number alone.
    Constant(u64),
    /// `true`: the field is absent otherwise.
    True,
    /// Texts.
    Texts,
    /// Any JSON object.
    Json,
    /// Any JSON.
    Any,
    /// A list of anything: the database's protocol says more.
    List,
    /// An object of this form.
    One(&'static Form),
    /// A list of objects of one of these forms.
    Many(&'static [&'static Form]),
}

/// An object of the JSON form.
#[derive(Debug)]
pub struct Form {
    /// Its name in the schema.
    pub name: &'static str,
    /// Its fields, in the order in which they are written.
    pub fields: &'static [Field],
}

const fn always(name: &'static str, value: FieldValue, meaning: &'static str) -> Field {
    Field { name, is_required: true, value, meaning }
}

const fn sometimes(name: &'static str, value: FieldValue, meaning: &'static str) -> Field {
    Field { name, is_required: false, value, meaning }
}

/// The whole plan.
pub const PLAN: Form = Form {
    name: "plan",
    fields: &[
        always("format", Exactly(FORMAT), "the version of the form"),
        always("site", Text, "the site's name: the namespace of all ids"),
        always(
            "engine",
            Words(&["midonet-1", "midonet-5", "ovn"]),
            "what the calls are for: `midonet-1` (MidoNet 1.x), `midonet-5` (5.x), `ovn`",
        ),
        always(
            "base",
            Hash,
            "SHA-256 of the observed topology that the plan starts from; an empty network has a hash too",
        ),
        always("summary", One(&SUMMARY), "the number of steps for each action"),
        always(
            "steps",
            Many(&[&STEP]),
            "the steps, in an order in which they can be executed one after another",
        ),
        always(
            "sha256",
            Hash,
            "SHA-256 of everything before it: from the first byte to the end of the last step's line",
        ),
        sometimes("saved_sha256", Hash, "with `--out`: the SHA-256 of the saved plan"),
        sometimes(
            "reachability",
            One(&REACHABILITY),
            "what the change opens and closes (`docs/verify.md`); absent when nothing is opened or closed",
        ),
        sometimes(
            "cut_pods",
            Texts,
            "the pods and other bound ports that the plan cuts off, each in words; absent without such ports",
        ),
        sometimes(
            "used_twice",
            Texts,
            "the links and public addresses of the tenants that somebody else uses as well on the provider router, each in words; \
             absent without such addresses",
        ),
        sometimes(
            "foreign",
            Many(&[&FOREIGN]),
            "the objects that midoform did not create; absent without such objects",
        ),
    ],
};

const SUMMARY: Form = Form {
    name: "summary",
    fields: &[
        always("create", Number, "steps that create"),
        always("update", Number, "steps that change in place"),
        always("replace", Number, "steps that delete and create again"),
        always("delete", Number, "steps that delete"),
        always("keep", Number, "objects with nothing to do"),
    ],
};

/// A step.
pub const STEP: Form = Form {
    name: "step",
    fields: &[
        always(
            "action",
            Words(&["create", "update", "replace", "delete", "keep"]),
            "`create`, `update` (in place), `replace` (deleted and created again), `delete`, `keep` (nothing to do)",
        ),
        always("key", Text, "the object's name in its site, a path: `acme/bridge/web/gateway-port`"),
        always(
            "kind",
            Text,
            "the object's kind, as below; for OVN the name of the table, such as `Logical_Switch`",
        ),
        always("reason", Text, "the reason for the action, in one line"),
        sometimes(
            "source",
            One(&SOURCE),
            "the file and line that caused the object; absent for an object that is only observed",
        ),
        sometimes(
            "needs",
            Texts,
            "keys: every earlier step with one of these keys has to be done before this step; absent when empty",
        ),
        sometimes("cuts_traffic", True, "the step interrupts traffic that flows now; otherwise absent"),
        sometimes(
            "calls",
            Many(&[&CALL, &INSERT, &UPDATE, &MUTATE, &DELETE, &WAIT]),
            "the calls of the engine, one after another; absent for `keep`",
        ),
        sometimes(
            "undo",
            Many(&[&CALL, &INSERT, &UPDATE, &MUTATE, &DELETE, &WAIT]),
            "the calls that undo the step, one after another; absent for `keep`",
        ),
    ],
};

const SOURCE: Form = Form {
    name: "source",
    fields: &[
        always("file", Text, "the file, relative to the site file's folder"),
        always("line", Number, "the line, from 1"),
    ],
};

/// A call of MidoNet's API.
pub const CALL: Form = Form {
    name: "call",
    fields: &[
        always("method", Words(&["GET", "POST", "PUT", "DELETE"]), "`POST`, `PUT` or `DELETE`"),
        always("path", Text, "below the API's base URL"),
        sometimes("content_type", Text, "the media type of the body; absent without a body"),
        sometimes("accept", Text, "the media type of the response; absent when the response has no body"),
        sometimes("body", Json, "JSON"),
        sometimes("merges", True, "the body holds only the fields to set; otherwise absent. See below"),
        sometimes(
            "binds",
            True,
            "the response's `Location` header holds an id that the server chose; otherwise absent",
        ),
    ],
};

const TABLE: Field = always("table", Text, "the table");
const WHERE: Field = always("where", List, "the row, by its `_uuid`; the site's provider router by its name");

/// Inserts a row.
pub const INSERT: Form = Form {
    name: "insert",
    fields: &[
        always("op", Exactly("insert"), "inserts a row"),
        TABLE,
        always("uuid", Text, "the row's `_uuid`, chosen as the ids of MidoNet's objects are"),
        always("row", Json, "its columns"),
    ],
};

/// Sets columns of a row.
pub const UPDATE: Form = Form {
    name: "update",
    fields: &[
        always("op", Exactly("update"), "sets columns of a row"),
        TABLE,
        WHERE,
        always("row", Json, "the columns to set"),
    ],
};

/// Puts members into a column, or takes them out.
pub const MUTATE: Form = Form {
    name: "mutate",
    fields: &[
        always(
            "op",
            Exactly("mutate"),
            "puts members into a column of a row that holds others, or takes them out: the database removes a row that nobody holds",
        ),
        TABLE,
        WHERE,
        always("mutations", List, "`[column, \"insert\" or \"delete\", members]`"),
    ],
};

/// Deletes a row.
pub const DELETE: Form = Form {
    name: "delete",
    fields: &[always("op", Exactly("delete"), "deletes a row that stands alone"), TABLE, WHERE],
};

/// Refuses the transaction if a row is not as it was.
pub const WAIT: Form = Form {
    name: "wait",
    fields: &[
        always(
            "op",
            Exactly("wait"),
            "refuses the whole transaction if the row does not have these values any more",
        ),
        TABLE,
        always("timeout", Constant(0), "0: nothing waits"),
        WHERE,
        always("columns", Texts, "the columns that are compared"),
        always("until", Exactly("=="), "`==`"),
        always("rows", List, "the one row with the values"),
    ],
};

/// What the change opens and closes.
pub const REACHABILITY: Form = Form {
    name: "reachability",
    fields: &[
        always("changes", Many(&[&CHANGE]), "the connections that are opened, then those that are closed"),
        sometimes(
            "new_tenants",
            Texts,
            "tenants that exist only after the change: `changes` has only their traffic with others",
        ),
        sometimes(
            "gone_tenants",
            Texts,
            "tenants that exist only before the change: `changes` has none of their traffic",
        ),
        sometimes(
            "not_compared",
            Texts,
            "tenants with too many rules to compare: `changes` has none of their traffic",
        ),
    ],
};

/// A connection that is opened or closed.
pub const CHANGE: Form = Form {
    name: "change",
    fields: &[
        always("now", Words(&["allowed", "denied"]), "`allowed` or `denied`"),
        always("from", Text, "the source: `TENANT/BRIDGE`, or `world`"),
        always("to", Text, "the destination, in the same form"),
        always("protocol", Text, "`any`, `tcp`, `udp`, `icmp`, or a number"),
        sometimes("ports", Text, "the destination ports, for ICMP the types; absent: all"),
        sometimes("sources", Text, "the source addresses, if they are not all of the sender's network"),
        sometimes("destinations", Text, "the destination addresses, if they are not all of the receiver's"),
        sometimes("source", One(&SOURCE), "the line of the spec that decides"),
    ],
};

/// An object that midoform did not create.
pub const FOREIGN: Form = Form {
    name: "foreign",
    fields: &[
        always("near", Text, "the key of its chain or device"),
        always("kind", Text, "its kind"),
        always("id", Text, "its id"),
        always("what", Text, "the object, in a few words"),
        sometimes(
            "effect",
            Any,
            "what it changes: `{\"ahead_of\":[KEYS]}`, `{\"behind_catch_all\":KEY}`, `\"connects\"` or `{\"filters\":\"inbound\"}`; absent: nothing",
        ),
    ],
};

/// Returns the JSON Schema (draft 2020-12) of a plan.
pub fn schema() -> Value {
    let mut forms = Map::new();
    let Value::Object(mut whole) = of_form(&PLAN, &mut forms) else { return Value::Null };
    whole.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    whole.insert("title".to_owned(), json!("midoform plan"));
    whole.insert("$defs".to_owned(), Value::Object(forms));
    Value::Object(whole)
}

fn of_form(form: &Form, forms: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    for field in form.fields {
        let mut value = of_value(field.value, forms);
        if let Some(value) = value.as_object_mut() {
            value.insert("description".to_owned(), json!(field.meaning));
        }
        properties.insert(field.name.to_owned(), value);
    }
    let required: Vec<&str> =
        form.fields.iter().filter(|field| field.is_required).map(|field| field.name).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn of_value(value: FieldValue, forms: &mut Map<String, Value>) -> Value {
    match value {
        Text => json!({"type": "string"}),
        Exactly(text) => json!({"const": text}),
        Words(words) => json!({"enum": words}),
        Hash => json!({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
        Number => json!({"type": "integer", "minimum": 0}),
        Constant(number) => json!({"const": number}),
        True => json!({"const": true}),
        Texts => json!({"type": "array", "items": {"type": "string"}}),
        Json => json!({"type": "object"}),
        List => json!({"type": "array"}),
        Any => json!({}),
        One(form) => reference(form, forms),
        Many([form]) => json!({"type": "array", "items": reference(form, forms)}),
        Many(all) => {
            let all: Vec<Value> = all.iter().map(|form| reference(form, forms)).collect();
            json!({"type": "array", "items": {"oneOf": all}})
        }
    }
}

/// Returns a reference to a form, and puts the form into the definitions.
fn reference(form: &Form, forms: &mut Map<String, Value>) -> Value {
    if !forms.contains_key(form.name) {
        // A form is inside none of its own.
        let schema = of_form(form, forms);
        forms.insert(form.name.to_owned(), schema);
    }
    json!({"$ref": format!("#/$defs/{}", form.name)})
}
