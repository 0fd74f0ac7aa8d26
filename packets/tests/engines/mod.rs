//! Both engines do the same with a packet: MidoNet's interpreter with the objects of a spec, OVN's with its rows. What differs is a
//! difference that `docs/engines.md` lists ([`differences`]); a disagreement is shown with the smallest spec that has it.
//!
//! `MIDOFORM_ENGINES_SPECS`, `MIDOFORM_ENGINES_PACKETS` (of each spec) and `MIDOFORM_ENGINES_SEED` choose a larger run.

mod differences;
mod network;
mod shrink;

use std::collections::BTreeMap;

use fastrand::Rng;
use midoform_compiler::source::Source;

use crate::ovn::random;
use crate::ovn::specs::{SITE, number};
use crate::samples::{EXAMPLES, Project};
use differences::{Case, DIFFERENCES};
use network::{Both, Sent};

/// What a run found.
#[derive(Default)]
struct Found {
    specs: u64,
    refused: u64,
    packets: u64,
    delivered: u64,
    /// How often each difference occurred.
    explained: BTreeMap<&'static str, u64>,
    disagreements: Vec<String>,
}

impl Found {
    fn print(&self, what: &str) {
        let Found { specs, refused, packets, delivered, explained, disagreements } = self;
        println!(
            "{what}: {specs} specs ({refused} more are refused), {packets} packets, {delivered} delivered, {} disagreements, \
             explained: {explained:#?}",
            disagreements.len()
        );
    }
}

/// What is found of one packet.
enum Judged {
    Alike,
    /// A difference explains it: the subject.
    Explained(&'static str),
    /// Nothing explains it: both traces, in words.
    Unlike(String),
    /// One of its ends does not exist.
    Nothing,
}

fn judge(both: &Both, sent: &Sent) -> Judged {
    let Some([midonet, ovn]) = both.trace(sent) else { return Judged::Nothing };
    let case = Case { tenants: &both.compiled.tenants, sent, midonet: &midonet, ovn: &ovn };
    if case.agrees() {
        return Judged::Alike;
    }
    match DIFFERENCES.iter().find(|difference| (difference.explains)(&case)) {
        Some(difference) => Judged::Explained(difference.subject),
        None => Judged::Unlike(case.shown()),
    }
}

/// Sends random packets between all kinds of places of a project. A disagreement is noted with the smallest spec that has it.
fn compare(what: &str, project: &Project, random: &mut Rng, packets: u64, found: &mut Found) {
    let Some(both) = Both::of(project) else {
        found.refused += 1;
        return;
    };
    found.specs += 1;
    for _ in 0..packets {
        let sent = both.random_packet(random);
        found.packets += 1;
        match judge(&both, &sent) {
            Judged::Alike => found.delivered += u64::from(both.is_delivered(&sent)),
            Judged::Explained(subject) => *found.explained.entry(subject).or_default() += 1,
            Judged::Unlike(_) => {
                found.disagreements.push(format!("{what}: {}", smallest(project, &sent)));
                // One is enough of each spec: more are mostly of the same kind.
                return;
            }
            Judged::Nothing => {}
        }
    }
}

/// Returns the smallest spec in which the engines disagree about a packet, with what they do.
fn smallest(project: &Project, sent: &Sent) -> String {
    let unlike = |project: &Project| match judge(&Both::of(project)?, sent) {
        Judged::Unlike(why) => Some(why),
        _ => None,
    };
    let small = shrink::smallest(project, &|project| unlike(project).is_some());
    let texts = small.tenants.iter().map(|tenant| format!("--- {}\n{}", tenant.name, tenant.text()));
    format!("{}\n{}", unlike(&small).unwrap_or_default(), texts.collect::<String>())
}

#[test]
fn the_examples_are_alike_on_both_engines() {
    let mut found = Found::default();
    for name in EXAMPLES {
        let mut project = Project::example(name);
        let own = project.site.text();
        let site = format!(
            "underlay_mtu = 1600\n{own}\n[ovn]\nnorthbound = \"unix:nb.sock\"\nmanaged = true\ngateway_chassis = \"gw1\"\n"
        );
        project.site = Source::new("site.toml", site);
        // The fleet has a thousand tenants, and they are alike.
        project.tenants.truncate(20);
        let packets = number("MIDOFORM_ENGINES_PACKETS", 60);
        compare(name, &project, &mut Rng::with_seed(1), packets, &mut found);
    }
    found.print("examples");
    assert!(found.disagreements.is_empty(), "{}", found.disagreements.join("\n"));
    assert_eq!(found.refused, 0);
}

#[test]
fn random_specs_are_alike_on_both_engines() {
    let (specs, first) = (number("MIDOFORM_ENGINES_SPECS", 40), number("MIDOFORM_ENGINES_SEED", 1));
    let packets = number("MIDOFORM_ENGINES_PACKETS", 60);
    let mut found = Found::default();
    (first..first + specs).for_each(|seed| random_spec(seed, packets, &mut found));
    found.print("random specs");
    assert!(found.disagreements.is_empty(), "{}", found.disagreements.join("\n"));
    assert!(found.specs * 3 > specs, "most specs are refused");
    assert!(found.delivered * 10 > found.packets, "hardly a packet arrives");
}

/// A tenant whose stateless rule matches the replies of its exposed port.
const STATELESS: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.10.0.0/24\"\n\
    [[expose]]\npublic = \"203.0.113.10:443\"\nto = { bridge = \"web\", address = \"10.10.0.11\", tcp = 8443 }\n\
    [[rule]]\nname = \"r\"\nto = { cidr = \"8.8.0.0/16\" }\naction = \"drop\"\nstateful = false\n";
/// A tenant whose sources become one of three addresses.
const RANGE: &str = "name = \"acme\"\negress = { snat = \"203.0.113.64-203.0.113.66\" }\n\
    [[bridge]]\nname = \"web\"\ncidr = \"10.10.0.0/24\"\n";
/// Seeds of random specs that have the other differences.
const SEEDS: [u64; 5] = [3, 8, 9, 13, 27];

#[test]
fn every_difference_occurs() {
    let mut found = Found::default();
    for text in [STATELESS, RANGE] {
        let project = Project::of_text(SITE, &[("acme.toml", text)]);
        compare("by hand", &project, &mut Rng::with_seed(1), 300, &mut found);
    }
    SEEDS.into_iter().for_each(|seed| random_spec(seed, 60, &mut found));
    for difference in DIFFERENCES {
        assert!(
            found.explained.contains_key(difference.subject),
            "{}: {:?}",
            difference.subject,
            found.explained
        );
    }
}

/// Plays a random spec.
fn random_spec(seed: u64, packets: u64, found: &mut Found) {
    let mut random = Rng::with_seed(seed);
    let texts = random::tenants(&mut random);
    let files: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let project = Project::of_text(SITE, &files);
    compare(&format!("seed {seed}"), &project, &mut random, packets, found);
}

#[test]
fn the_documentation_lists_every_difference() {
    let path = midoform_testutil::root().join("docs/engines.md");
    let text = std::fs::read_to_string(path).unwrap();
    let listed: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect();
    for difference in DIFFERENCES {
        assert!(
            listed.contains(&difference.subject),
            "docs/engines.md does not list: {}",
            difference.subject
        );
    }
}
