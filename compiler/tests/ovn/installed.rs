//! What an installed OVN says: its schema, and what it takes of rows and matches.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use midoform_compiler::ovn::expression::parse;
use midoform_compiler::ovn::lower::pod::{self, Pod, PortSecurity};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::topology::kinds::row::schema::{ColumnKind, TABLES, Table};
use midoform_compiler::values::MacAddress;
use serde_json::{Value, json};
use uuid::Uuid;

use super::expressions::{Choices, Known, expression};
use super::samples::{example, row_of, rows};
use super::server::Server;
use crate::samples::EXAMPLES;

/// Returns the kind of a column as the schema of the database has it.
fn kind_of(column: &Value) -> String {
    let kind = &column["type"];
    let key = if kind["key"].is_null() { kind } else { &kind["key"] };
    let base = key["type"].as_str().or(key.as_str()).unwrap_or_default();
    let (least, most) = (kind["min"].as_i64().unwrap_or(1), kind["max"].as_str().unwrap_or("1"));
    let mut words: Vec<&str> =
        key["enum"][1].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    words.sort_unstable();
    let limits = (key["minInteger"].as_i64(), key["maxInteger"].as_i64(), key["maxLength"].as_i64());
    let value = kind["value"].as_str().unwrap_or_default();
    format!(
        "{base} {value} {least}..{most} {words:?} {limits:?} {}",
        key["refTable"].as_str().unwrap_or_default()
    )
}

/// Returns the same of a column of the subset.
fn kind_of_ours(kind: ColumnKind) -> String {
    let of = |base: &str, value: &str, count: &str, words: &[&str], limits, table: &str| {
        let mut words = words.to_vec();
        words.sort_unstable();
        format!("{base} {value} {count} {words:?} {limits:?} {table}")
    };
    let none: (Option<i64>, Option<i64>, Option<i64>) = (None, None, None);
    match kind {
        ColumnKind::Text => of("string", "", "1..1", &[], none, ""),
        ColumnKind::OptionalText(longest) => {
            let longest = longest.map(|longest| i64::try_from(longest).unwrap());
            of("string", "", "0..1", &[], (None, None, longest), "")
        }
        ColumnKind::Word(words) => of("string", "", "1..1", words, none, ""),
        ColumnKind::OptionalWord(words) => of("string", "", "0..1", words, none, ""),
        ColumnKind::Integer(least, most) => {
            of("integer", "", "1..1", &[], (Some(least), Some(most), None), "")
        }
        ColumnKind::OptionalInteger(least, most) => {
            of("integer", "", "0..1", &[], (Some(least), Some(most), None), "")
        }
        ColumnKind::Texts => of("string", "", "0..unlimited", &[], none, ""),
        ColumnKind::SomeTexts => of("string", "", "1..unlimited", &[], none, ""),
        ColumnKind::Map => of("string", "string", "0..unlimited", &[], none, ""),
        ColumnKind::References(table) => of("uuid", "", "0..unlimited", &[], none, table.name()),
    }
}

#[test]
fn the_subset_is_one_of_the_installed_schema() {
    let path = Path::new("/usr/share/ovn/ovn-nb.ovsschema");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("SKIPPED: OVN is not installed ({} is missing)", path.display());
        return;
    };
    let schema: Value = serde_json::from_str(&text).unwrap();
    for table in TABLES {
        let theirs = &schema["tables"][table.name];
        assert!(theirs["columns"].is_object(), "{}", table.name);
        for column in table.columns {
            let found = kind_of(&theirs["columns"][column.name]);
            assert_eq!(found, kind_of_ours(column.kind), "{}.{}", table.name, column.name);
        }
        assert_eq!(theirs["isRoot"].as_bool().unwrap(), table.held_by.is_empty(), "{}", table.name);
        for (holder, column) in table.held_by {
            let found = kind_of(&schema["tables"][holder.name()]["columns"][*column]);
            assert_eq!(
                found,
                kind_of_ours(ColumnKind::References(table.table)),
                "{}.{column}",
                holder.name()
            );
        }
        let index = table.unique.map(|column| json!([[column]]));
        assert_eq!(theirs["indexes"], index.unwrap_or(Value::Null), "{}", table.name);
    }
}

/// Returns a pod for each switch, so that the host has to have the flows of all of them.
fn pods(site: &str, rows: &Topology) -> Vec<Topology> {
    let switches = rows.entries().iter().filter(|entry| {
        row_of(entry).table == Table::LogicalSwitch && entry.key.as_str() != "site/external-network"
    });
    let pod = |(at, switch): (usize, &midoform_compiler::topology::Entry)| {
        let at = u32::try_from(at).unwrap();
        let [_, _, high, low] = at.to_be_bytes();
        pod::lower(&Pod {
            site,
            tenant: switch.key.owner(),
            switch: Reference::Key(switch.key.clone()),
            container: &format!("c{at}"),
            interface: "eth0",
            tag: None,
            host: Uuid::from_u128(1),
            chassis: None,
            mac: MacAddress([0x0a, 0, 0, 0, high, low]),
            address: Ipv4Addr::from(0x0a00_0001 + at),
            security: PortSecurity::Networks(vec![Ipv4Addr::from(0x0a00_0001 + at).into()]),
        })
    };
    switches.enumerate().map(pod).collect()
}

/// The rows of each example in one transaction: the database takes them, and neither ovn-northd nor ovn-controller complains.
#[test]
fn the_examples_load_into_a_northbound_database() {
    let Some(server) = Server::start() else { return };
    let mut ports = Vec::new();
    for name in EXAMPLES {
        let (compiled, rows) = rows(&example(name));
        let site = &compiled.site.name.value;
        let pods = pods(site, &rows);
        ports.extend(
            pods.iter().map(|pod| pod.entries()[0].object.row().unwrap().text_of("name").unwrap().to_owned()),
        );
        let all = rows.entries().iter().chain(pods.iter().flat_map(Topology::entries)).cloned().collect();
        server.insert(site, &Topology::new(all));
    }
    server.bind(&ports);
    server.sync();
    let complaints = server.complaints();
    assert_eq!(complaints, Vec::<String>::new());
    let flows = server.run("ovn-sbctl", &["--bare", "--columns=_uuid", "list", "Logical_Flow"]);
    assert!(flows.lines().count() > 10_000, "{}", flows.lines().count());
}

/// Random numbers, the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 >> 32).unwrap()
    }

    /// Returns a text with one character replaced, taken out or added.
    fn mutated(&mut self, text: &str) -> String {
        const CHARACTERS: [char; 22] = [
            '(', ')', '{', '}', '[', ']', '!', '&', '|', '=', '.', ',', '@', '"', '0', 'x', ':', '/', ' ',
            'a', '9', '-',
        ];
        let mut characters: Vec<char> = text.chars().collect();
        let at = self.next() as usize % characters.len();
        let character = CHARACTERS[self.next() as usize % CHARACTERS.len()];
        match self.next() % 3 {
            0 => characters[at] = character,
            1 => drop(characters.remove(at)),
            _ => characters.insert(at, character),
        }
        characters.into_iter().collect()
    }
}

/// Returns true if ovn-controller can be asked about a match: it ends with a failed assertion on `ip4.src[0..7] < $set`, and the
/// flows of two unequal wide fields are as many as their bits, multiplied.
fn is_safe(text: &str) -> bool {
    let is_ordered_set = text.contains(['<', '>']) && text.contains('$');
    text.matches(['!', '<', '>']).count() <= 1 && !is_ordered_set
}

/// Returns matches that the parser takes, and texts that it refuses.
fn matches(random: &mut Random) -> (Vec<String>, Vec<String>) {
    let (mut right, mut wrong): (BTreeSet<String>, BTreeSet<String>) = Default::default();
    while right.len() < 1_000 {
        let numbers: Vec<u32> = (0..30).map(|_| random.next()).collect();
        let mut text = String::new();
        expression(&mut Choices::of(&numbers), 2, &mut text);
        match parse(&text, &Known) {
            _ if !is_safe(&text) => {}
            Ok(parsed) => drop(right.insert(parsed.to_string())),
            Err(_) if wrong.len() < 1_000 => drop(wrong.insert(text)),
            Err(_) => {}
        }
    }
    (right.into_iter().collect(), wrong.into_iter().collect())
}

/// A row for each expression, all in one switch. ovn-controller names what it can't parse: it takes all that the parser takes.
#[test]
fn ovn_controller_and_the_parser_agree() {
    let Some(server) = Server::start() else { return };
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (right, wrong) = matches(&mut random);
    let mutated: Vec<String> =
        right.iter().map(|text| random.mutated(text)).filter(|text| is_safe(text)).collect();
    // The flow that ovn-northd makes of a match has more than the match: a mutated one may only be right there.
    let whole = right.len() + wrong.len();
    let texts: Vec<String> = right.into_iter().chain(wrong).chain(mutated).collect();
    let acls = texts.iter().enumerate().map(|(at, text)| {
        let priority = at % 32767;
        json!({"op": "insert", "table": "ACL", "uuid-name": format!("a{at}"), "row": {
            "direction": "to-lport", "priority": priority, "action": "drop", "match": format!("/* <{at}> */ {text}")}})
    });
    let port =
        json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "p", "row": {"name": "p1"}});
    let switch = json!({"op": "insert", "table": "Logical_Switch", "row": {"name": "s", "ports": ["set", [["named-uuid", "p"]]],
        "acls": ["set", (0..texts.len()).map(|at| json!(["named-uuid", format!("a{at}")])).collect::<Vec<_>>()]}});
    let set = json!({"op": "insert", "table": "Address_Set", "row": {"name": "addresses.one", "addresses": ["set", ["10.0.0.1", "10.1.0.0/16"]]}});
    let group = json!({"op": "insert", "table": "Port_Group", "row": {"name": "ports_one", "ports": ["set", [["named-uuid", "p"]]]}});
    let operations = acls.chain([port, switch, set, group]).collect();
    let results = server.transact(operations);
    let errors: Vec<&Value> = results.iter().filter(|result| !result["error"].is_null()).collect();
    assert_eq!(errors, Vec::<&Value>::new());
    server.bind(&["p1".to_owned()]);
    let number = |line: &str| line.split_once("/* <")?.1.split_once('>')?.0.parse::<usize>().ok();
    // ovn-controller tries what it can't parse again and again: what it names twice, it has named with all others.
    let complaints = loop {
        let complaints = server.complaints();
        let mut times: BTreeMap<usize, usize> = BTreeMap::new();
        complaints.iter().filter_map(|line| number(line)).for_each(|at| *times.entry(at).or_default() += 1);
        if times.values().any(|times| *times >= 2) {
            break complaints;
        }
        std::thread::sleep(Duration::from_millis(300));
    };
    let refused: BTreeSet<usize> = complaints.iter().filter_map(|line| number(line)).collect();
    for (at, text) in texts.iter().enumerate() {
        let line = complaints.iter().find(|line| number(line) == Some(at));
        match (parse(text, &Known), refused.contains(&at)) {
            (Ok(_), true) => panic!("ovn-controller refuses {text}: {line:?}"),
            (Err(error), false) if at < whole => panic!("ovn-controller takes {text}: {error}"),
            _ => {}
        }
    }
}
