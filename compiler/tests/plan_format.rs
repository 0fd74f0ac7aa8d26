//! The description of a plan's JSON form, and the tables that are made from it.

use std::fmt::Write as _;

use midoform_compiler::plan::schema::{
    CALL, CHANGE, DELETE, FOREIGN, Form, INSERT, MUTATE, PLAN, REACHABILITY, STEP, UPDATE, WAIT,
};
use midoform_compiler::topology::kinds::Kind;
use midoform_testutil::documentation::expect_generated;

fn table(form: &Form) -> String {
    let mut text = "| Field | Meaning |\n|-|-|\n".to_owned();
    for field in form.fields {
        let _ = writeln!(text, "| `{}` | {} |", field.name, field.meaning);
    }
    text
}

/// Writes one line for each operation: its word, its purpose, and its fields.
fn operations() -> String {
    let mut text = "| `op` | Effect | Fields |\n|-|-|-|\n".to_owned();
    for form in [&INSERT, &UPDATE, &MUTATE, &DELETE, &WAIT] {
        let (op, fields) = form.fields.split_first().unwrap();
        let fields: Vec<String> =
            fields.iter().map(|field| format!("`{}`: {}", field.name, field.meaning)).collect();
        let _ = writeln!(text, "| `{}` | {} | {} |", form.name, op.meaning, fields.join("; "));
    }
    text
}

fn kinds() -> String {
    let midonet = Kind::all().filter(|kind| !matches!(kind, Kind::Row(_)));
    let names: Vec<String> =
        midonet.map(|kind| format!("`{}`", serde_json::to_value(kind).unwrap().as_str().unwrap())).collect();
    names.join(", ") + ".\n"
}

#[test]
fn the_documentation_of_the_plan_is_current() {
    let parts = [
        ("fields of the plan", table(&PLAN)),
        ("fields of a step", table(&STEP)),
        ("kinds of objects", kinds()),
        ("fields of a call", table(&CALL)),
        ("operations on rows", operations()),
        ("fields of the reachability", table(&REACHABILITY)),
        ("fields of a change", table(&CHANGE)),
        ("fields of a foreign object", table(&FOREIGN)),
    ];
    expect_generated("docs/plan-format.md", &parts);
}
