//! The JSON of plans is what `midoform schema plan` says: nothing else is in it, and everything that the schema has occurs.

use std::collections::BTreeSet;

use midoform_testutil::TestFolder;
use serde_json::Value as Json;

use crate::MIDOFORM;
use crate::ovn::{Lab, TENANT};

/// The fields that need what these tests have not: attached pods, and a provider router that somebody else uses.
const ELSEWHERE: [&str; 3] = ["plan.cut_pods", "plan.used_twice", "reachability.not_compared"];

/// Plans, and the fields that were seen in them.
struct Seen {
    validator: jsonschema::Validator,
    schema: Json,
    fields: BTreeSet<String>,
}

impl Seen {
    fn new() -> Seen {
        let printed = TestFolder::default().run(MIDOFORM, &["schema", "plan"]).expect_code(0).stdout;
        let schema: Json = serde_json::from_str(&printed).unwrap();
        Seen { validator: jsonschema::validator_for(&schema).unwrap(), schema, fields: BTreeSet::new() }
    }

    fn plan(&mut self, name: &str, text: &str) {
        let plan: Json = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
        let errors: Vec<String> = self
            .validator
            .iter_errors(&plan)
            .take(3)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
        self.note("plan", &plan);
        self.note("summary", &plan["summary"]);
        self.note("reachability", &plan["reachability"]);
        self.each("change", &plan["reachability"]["changes"]);
        self.each("foreign", &plan["foreign"]);
        for step in plan["steps"].as_array().unwrap() {
            self.note("step", step);
            self.note("source", &step["source"]);
            for call in [&step["calls"], &step["undo"]].into_iter().filter_map(Json::as_array).flatten() {
                let form = call.get("op").and_then(Json::as_str).unwrap_or("call").to_owned();
                self.note(&form, call);
            }
        }
    }

    fn each(&mut self, form: &str, list: &Json) {
        list.as_array().into_iter().flatten().for_each(|object| self.note(form, object));
    }

    fn note(&mut self, form: &str, object: &Json) {
        let names = object.as_object().into_iter().flatten();
        self.fields.extend(names.map(|(name, _)| format!("{form}.{name}")));
    }

    /// Checks that every field of the schema was seen.
    fn expect_all(&self) {
        let of = |form: &str, schema: &Json| -> Vec<String> {
            schema["properties"].as_object().unwrap().keys().map(|name| format!("{form}.{name}")).collect()
        };
        let forms = self.schema["$defs"].as_object().unwrap();
        let inner = forms.iter().flat_map(|(form, schema)| of(form, schema));
        let missing: Vec<String> = of("plan", &self.schema)
            .into_iter()
            .chain(inner)
            .filter(|field| !self.fields.contains(field) && !ELSEWHERE.contains(&field.as_str()))
            .collect();
        assert_eq!(missing, Vec::<String>::new());
    }
}

/// A tenant is made, edited in every way, and destroyed; and again on OVN, where somebody else adds rows.
#[test]
fn plans_of_every_kind_fit_the_schema() {
    let Some(lab) = Lab::start() else { return };
    let mut seen = Seen::new();
    for example in ["seed", "shared-networks", "policy"] {
        for dialect in ["1", "5"] {
            let folder = TestFolder::default();
            folder.copy_example(example);
            let arguments = ["plan", ".", "--offline", "--json", "--api-version", dialect];
            seen.plan(example, &folder.run(MIDOFORM, &arguments).expect_code(0).stdout);
        }
    }
    on_midonet(&mut seen);
    on_ovn(&mut seen, &lab);
    seen.expect_all();
}

fn on_midonet(seen: &mut Seen) {
    let folder = TestFolder::with_tenants(&[("acme.toml", TENANT)]);
    let plan = |seen: &mut Seen, name: &str, more: &[&str]| {
        let ran = folder.run(MIDOFORM, &[&["plan", ".", "--json"], more].concat()).expect_code(0);
        seen.plan(name, &ran.stdout);
    };
    plan(seen, "new", &["--out", "saved.json"]);
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    plan(seen, "nothing to do", &[]);
    folder.write("acme.toml", format!("profile = \"rainbond\"\n{TENANT}"));
    plan(seen, "another layout", &[]);
    folder.write(
        "acme.toml",
        TENANT.replace("5432", "5433").replace("10.2.0.0/24", "10.3.0.0/24")
            + "[[peer]]\ntenant = \"beta\"\n",
    );
    folder.write(
        "beta.toml",
        "name = \"beta\"\nmtu = 1400\n[[bridge]]\nname = \"app\"\n[[peer]]\ntenant = \"acme\"\n",
    );
    plan(seen, "an edit", &[]);
    folder.write(
        "acme.toml",
        TENANT.split("[[rule]]").next().unwrap().to_owned() + "[[peer]]\ntenant = \"beta\"\n",
    );
    plan(seen, "fewer rules", &[]);
    folder.write("before/site.toml", folder.read("site.toml"));
    folder.write("before/acme.toml", TENANT);
    std::fs::remove_file(folder.path().join("acme.toml")).unwrap();
    std::fs::remove_file(folder.path().join("beta.toml")).unwrap();
    let other = "name = \"other\"\n[[bridge]]\nname = \"app\"\n[[bridge]]\nname = \"data\"\n";
    folder.write("before/other.toml", other);
    let rule = "[[rule]]\nname = \"apart\"\nfrom = { bridge = \"app\" }\nto = { bridge = \"data\" }\naction = \"drop\"\n";
    folder.write("other.toml", other.to_owned() + rule);
    plan(seen, "a tenant is gone", &["--against", "before"]);
}

fn on_ovn(seen: &mut Seen, lab: &Lab) {
    let plan = |seen: &mut Seen, name: &str, more: &[&str]| {
        seen.plan(name, &lab.midoform(&[&["plan", "--json"], more].concat()).expect_code(0).stdout);
    };
    plan(seen, "new rows", &[]);
    let _ = lab.apply();
    lab.nbctl(&["acl-add", "lab:acme/bridge/db", "to-lport", "32000", "tcp.dst == 22", "allow"]);
    plan(seen, "foreign rows", &[]);
    let edited = TENANT.split("[[expose]]").next().unwrap().replace("5432", "5433");
    lab.folder.write(
        "acme.toml",
        edited.replace("name = \"web\"", "name = \"front\"").replace("\"web\"", "\"front\""),
    );
    plan(seen, "changed rows", &[]);
    plan(seen, "without foreign rows", &["--remove-foreign"]);
}
