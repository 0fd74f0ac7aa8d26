//! The page's data: every object of the network before and after, and the plan's steps, in terms of shared texts.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::ReviewPage;
use super::risk::Risks;
use super::shared::{Shared, Tables, Text};
use midoform_compiler::names::TenantName;
use midoform_compiler::plan::cut::heading;
use midoform_compiler::plan::reachability::{ConnectionEnd, Now, Reachability, ReachabilityChange};
use midoform_compiler::plan::{Action, Call, Engine, Step, Summary};
use midoform_compiler::printable::{is_escaped, printable};
use midoform_compiler::topology::Entry;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::{Condition, Kind, NatTarget, Object, Reference, RuleAction};

/// The version of the data that the page's script reads.
const FORMAT: &str = "midoform-review/2";

/// Everything that the page shows.
#[derive(Serialize)]
pub(super) struct Data<'a> {
    format: &'static str,
    site: Cow<'a, str>,
    engine: Engine,
    base: &'a str,
    sha256: String,
    summary: Summary,
    base_url: &'a str,
    kinds: Vec<&'static str>,
    files: Vec<Cow<'a, str>>,
    /// Ids of objects outside the topology.
    externals: Vec<String>,
    tenants: Vec<Tenant<'a>>,
    objects: Vec<ObjectRow>,
    steps: Vec<StepRow>,
    foreign: Vec<ForeignRow<'a>>,
    /// The attached ports: the bridge's number and a description.
    attached: Vec<(usize, Cow<'a, str>)>,
    cut_pods: Vec<Cow<'a, str>>,
    cut_heading: &'static str,
    reachability: Option<ReachabilityRows<'a>>,
    texts: Tables,
}

/// A tenant's objects are those from `start` up to `end`.
#[derive(Serialize)]
struct Tenant<'a> {
    name: &'a str,
    start: usize,
    end: usize,
    summary: [usize; 5],
}

/// Key, kind, action, description, file (-1: none), line, parent, other reference, differences, public port.
#[derive(Serialize)]
struct ObjectRow(Text, usize, usize, Text, i64, u32, i64, i64, Vec<(Text, Text, Text)>, Option<Text>);

/// Object, action, reason, risks, objects that it waits for, calls, calls that undo it.
#[derive(Serialize)]
struct StepRow(usize, usize, Text, u8, Vec<usize>, Vec<CallRow>, Vec<CallRow>);

/// Method, path, media type, body, 1 if the response has the id.
#[derive(Serialize)]
struct CallRow(&'static str, Text, Option<Text>, Option<Text>, u8);

/// The changes of reachability, and the tenants that are not or not completely compared.
#[derive(Serialize)]
struct ReachabilityRows<'a> {
    rows: Vec<ReachabilityRow>,
    new_tenants: &'a [TenantName],
    gone_tenants: &'a [TenantName],
    not_compared: &'a [TenantName],
}

#[derive(Serialize)]
struct ReachabilityRow {
    opens: bool,
    from: String,
    to: String,
    what: String,
    source: Option<String>,
    /// The numbers of the tenants at both ends.
    tenants: Vec<usize>,
}

/// Nearby object, kind, id, description.
#[derive(Serialize)]
struct ForeignRow<'a>(Cow<'a, str>, &'static str, String, String);

impl<'a> Data<'a> {
    pub(super) fn of(page: &'a ReviewPage<'a>) -> Data<'a> {
        Builder::new(page).build()
    }
}

/// An object, before and after.
#[derive(Clone, Copy, Default)]
struct Sides<'a> {
    before: Option<&'a Entry>,
    after: Option<&'a Entry>,
}

impl<'a> Sides<'a> {
    /// Returns the entry to show: the one after the change, else the one before.
    fn shown(self) -> Option<&'a Entry> {
        self.after.or(self.before)
    }
}

struct Builder<'a> {
    page: &'a ReviewPage<'a>,
    objects: BTreeMap<&'a Key, Sides<'a>>,
    numbers: BTreeMap<&'a Key, usize>,
    actions: BTreeMap<&'a Key, Action>,
    files: BTreeMap<&'a str, usize>,
    externals: BTreeMap<String, usize>,
    shared: Shared,
}

impl<'a> Builder<'a> {
    fn new(page: &'a ReviewPage<'a>) -> Self {
        let mut actions: BTreeMap<&Key, Action> = BTreeMap::new();
        for step in &page.plan.steps {
            // An object that is deleted and created again has two steps.
            let merged = match actions.get(&step.key) {
                Some(earlier) if *earlier != step.action => Action::Replace,
                _ => step.action,
            };
            actions.insert(&step.key, merged);
        }
        let mut objects: BTreeMap<&Key, Sides<'_>> = BTreeMap::new();
        // The page shows only the objects of the plan.
        let planned = |entry: &&Entry| actions.contains_key(&entry.key);
        for entry in page.desired.entries().iter().filter(planned) {
            objects.entry(&entry.key).or_default().after = Some(entry);
        }
        for entry in page.before.entries().iter().filter(planned) {
            objects.entry(&entry.key).or_default().before = Some(entry);
        }
        let numbers = objects.keys().enumerate().map(|(number, key)| (*key, number)).collect();
        let sources = page.plan.steps.iter().filter_map(|step| step.source.as_ref());
        let names: BTreeSet<&str> = sources.map(|source| &*source.file).collect();
        let files = names.into_iter().enumerate().map(|(number, name)| (name, number)).collect();
        let (externals, shared) = (BTreeMap::new(), Shared::default());
        Builder { page, objects, numbers, actions, files, externals, shared }
    }

    fn build(mut self) -> Data<'a> {
        let page = self.page;
        let sources: BTreeMap<&Key, &midoform_compiler::source::Provenance> =
            page.plan.steps.iter().filter_map(|step| Some((&step.key, step.source.as_ref()?))).collect();
        let all: Vec<(&Key, Sides<'_>)> = self.objects.iter().map(|(key, sides)| (*key, *sides)).collect();
        let mut objects = Vec::with_capacity(all.len());
        for (key, sides) in all {
            let Some(entry) = sides.shown() else { continue };
            let source = sources.get(key).copied().or(entry.provenance.as_ref());
            let row = self.object(entry, sides, source);
            objects.push(row);
        }
        let risks = Risks::new(page.provider, [page.before, page.desired]);
        let mut steps = Vec::new();
        for step in page.plan.changes() {
            let row = self.step(step, &risks);
            steps.extend(row);
        }
        let number = |key: &Key| self.numbers.get(key).copied();
        let attached =
            page.attached.iter().filter_map(|pod| Some((number(&pod.near)?, printable(&pod.what)))).collect();
        let foreign = page.foreign.iter().map(|foreign| {
            let what = printable(&format!("{}{}", foreign.what, foreign.effect_clause())).into_owned();
            let near = printable(foreign.near.as_str());
            ForeignRow(near, foreign.kind.name(), foreign.id.to_string(), what)
        });
        let tenants = self.tenants();
        let reached = page.reachability.map(|found| reachability(found, &tenants));
        Data {
            format: FORMAT,
            site: printable(&page.plan.site),
            engine: page.plan.engine,
            base: &page.plan.base,
            sha256: page.saved_sha256.map_or_else(|| midoform_compiler::plan::hash(page.plan), str::to_owned),
            summary: page.plan.summary(),
            base_url: page.base_url,
            kinds: Kind::all().map(Kind::name).collect(),
            files: self.files.keys().map(|name| printable(name)).collect(),
            tenants,
            objects,
            steps,
            foreign: foreign.collect(),
            attached,
            cut_pods: page.cut_pods.iter().map(|port| printable(&port.what)).collect(),
            cut_heading: heading(page.cut_pods),
            reachability: reached,
            externals: in_order(self.externals),
            texts: self.shared.into_tables(),
        }
    }

    fn tenants(&self) -> Vec<Tenant<'a>> {
        let summaries = self.page.plan.summaries_by_tenant();
        let mut tenants: Vec<Tenant<'a>> = Vec::new();
        for (number, key) in self.objects.keys().copied().enumerate() {
            let name = key.owner();
            match tenants.last_mut() {
                Some(last) if last.name == name => last.end = number + 1,
                _ => {
                    let summary = summaries.get(name).copied().unwrap_or_default();
                    let summary =
                        [summary.create, summary.update, summary.replace, summary.delete, summary.keep];
                    tenants.push(Tenant { name, start: number, end: number + 1, summary });
                }
            }
        }
        tenants
    }

    /// Returns the number of an object, or one below -1 for an object outside the topology.
    fn number(&mut self, reference: &Reference) -> i64 {
        match reference {
            Reference::Key(key) => self.numbers.get(key).map_or(-1, |number| signed(*number)),
            Reference::External(id) => {
                let next = self.externals.len();
                -2 - signed(*self.externals.entry(id.to_string()).or_insert(next))
            }
            Reference::Named(name) => {
                let next = self.externals.len();
                -2 - signed(*self.externals.entry(name.clone()).or_insert(next))
            }
        }
    }

    fn object(
        &mut self,
        entry: &'a Entry,
        sides: Sides<'a>,
        source: Option<&'a midoform_compiler::source::Provenance>,
    ) -> ObjectRow {
        let tenant = entry.key.owner();
        let action = self.actions.get(&entry.key).copied().unwrap_or(Action::Keep);
        let [on, to] = entry.object.ends();
        let on = on.map_or(-1, |reference| self.number(reference));
        let to = to.map_or(-1, |reference| self.number(reference));
        let differences = match (sides.before, sides.after) {
            (Some(before), Some(after)) if action != Action::Keep => {
                differences(&before.object, &after.object)
            }
            _ => Vec::new(),
        };
        let mut text = |text: &str| self.shared.text(&printable(text), tenant);
        let key = text(entry.key.as_str());
        let what = text(&entry.object.describe());
        let differences =
            differences.into_iter().map(|(name, old, new)| (text(&name), text(&old), text(&new))).collect();
        let public = public_end(&entry.object).map(|public| text(&public));
        let file = source.and_then(|source| self.files.get(&*source.file)).map_or(-1, |file| signed(*file));
        let line = source.map_or(0, |source| source.line);
        let kind = kind_number(Kind::of(&entry.object));
        ObjectRow(key, kind, action_number(action), what, file, line, on, to, differences, public)
    }

    fn step(&mut self, step: &'a Step, risks: &Risks<'_>) -> Option<StepRow> {
        let number = *self.numbers.get(&step.key)?;
        let sides = self.objects.get(&step.key).copied().unwrap_or_default();
        let object = |entry: Option<&'a Entry>| entry.map(|entry| &entry.object);
        let risks = risks.of(step, object(sides.before), object(sides.after));
        let tenant = step.key.owner();
        let reason = self.shared.text(&printable(&step.reason), tenant);
        let numbered = |key: &Key| self.numbers.get(key).copied();
        let needs: Vec<usize> = step.needs.iter().filter_map(numbered).collect();
        let calls = step.calls.iter().map(|call| self.call(call, tenant)).collect();
        let undo = step.undo.iter().map(|call| self.call(call, tenant)).collect();
        Some(StepRow(number, action_number(step.action), reason, risks, needs, calls, undo))
    }

    fn call(&mut self, call: &Call, tenant: &str) -> CallRow {
        // A call is copied as it is shown: an escape in JSON has the same meaning.
        let mut text = |text: &str| self.shared.text(&json_escaped(text), tenant);
        let binds = call.http().is_some_and(|call| call.binds);
        CallRow(
            call.word(),
            text(&call.place()),
            call.media_type().map(&mut text),
            call.body().as_deref().map(text),
            binds.into(),
        )
    }
}

/// Escapes the unseen characters of a JSON document. They occur only in strings.
fn json_escaped(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_escaped) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 8);
    for character in json.chars() {
        match is_escaped(character) {
            true => escaped.push_str(&format!("\\u{:04x}", u32::from(character))),
            false => escaped.push(character),
        }
    }
    Cow::Owned(escaped)
}

fn reachability<'a>(found: &'a Reachability, tenants: &[Tenant<'_>]) -> ReachabilityRows<'a> {
    let number = |end: &ConnectionEnd| {
        let name = end.tenant()?;
        tenants.iter().position(|tenant| *name == *tenant.name)
    };
    let place = |name: &ConnectionEnd, addresses: &str| match addresses.is_empty() {
        true => printable(&name.to_string()).into_owned(),
        false => printable(&format!("{name} ({addresses})")).into_owned(),
    };
    let row = |change: &ReachabilityChange| ReachabilityRow {
        opens: change.now == Now::Allowed,
        from: place(&change.from, &change.sources),
        to: place(&change.to, &change.destinations),
        what: match change.ports.is_empty() {
            true => change.protocol.clone(),
            false => format!("{}/{}", change.protocol, change.ports),
        },
        source: change.source.as_ref().map(|source| printable(&source.to_string()).into_owned()),
        tenants: number(&change.from).into_iter().chain(number(&change.to)).collect(),
    };
    ReachabilityRows {
        rows: found.changes.iter().map(row).collect(),
        new_tenants: &found.new_tenants,
        gone_tenants: &found.gone_tenants,
        not_compared: &found.not_compared,
    }
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn in_order(ids: BTreeMap<String, usize>) -> Vec<String> {
    let mut ids: Vec<(usize, String)> = ids.into_iter().map(|(id, number)| (number, id)).collect();
    ids.sort_unstable();
    ids.into_iter().map(|(_, id)| printable(&id).into_owned()).collect()
}

/// Returns the number of an action. The page's script has the same list.
fn action_number(action: Action) -> usize {
    match action {
        Action::Create => 0,
        Action::Update => 1,
        Action::Replace => 2,
        Action::Delete => 3,
        Action::Keep => 4,
    }
}

fn kind_number(kind: Kind) -> usize {
    Kind::all().position(|other| other == kind).unwrap_or(0)
}

/// Returns the DNAT of a public port: `tcp 203.0.113.10:443 → 10.20.1.10:8443`.
fn public_end(object: &Object) -> Option<String> {
    let Object::Rule(rule) = object else { return None };
    let RuleAction::DestinationNat(NatTarget { first, ports, .. }, _) = &rule.action else { return None };
    let Condition { destination, destination_ports, protocol, .. } = &rule.condition;
    let protocol = match protocol {
        Some(17) => "udp",
        _ => "tcp",
    };
    let public = destination.map(|network| network.addr().to_string()).unwrap_or_default();
    let port = destination_ports.map(|range| range.start).unwrap_or_default();
    Some(format!("{protocol} {public}:{port} → {first}:{}", ports.start))
}

/// Returns the fields that differ, by path, with both values.
fn differences(before: &Object, after: &Object) -> Vec<(String, String, String)> {
    let flat = |object: &Object| {
        let mut fields = BTreeMap::new();
        flatten("", &serde_json::to_value(object).unwrap_or_default(), &mut fields);
        fields
    };
    let (before, after) = (flat(before), flat(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value = |fields: &BTreeMap<String, String>, name| fields.get(name).cloned().unwrap_or_default();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| (name.clone(), value(&before, name), value(&after, name)))
        .collect()
}

fn flatten(path: &str, value: &Value, fields: &mut BTreeMap<String, String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Null => {}
        // A reference is shown by what it names.
        Value::Object(inner)
            if inner.len() == 1 && (inner.contains_key("key") || inner.contains_key("external")) =>
        {
            inner.values().for_each(|value| flatten(path, value, fields));
        }
        Value::Object(inner) => inner.iter().for_each(|(name, value)| flatten(&below(name), value, fields)),
        Value::String(text) => drop(fields.insert(path.to_owned(), text.clone())),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| flatten(&below(&at.to_string()), item, fields));
        }
        other => drop(fields.insert(path.to_owned(), other.to_string())),
    }
}
