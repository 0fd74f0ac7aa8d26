//! Whatever is read, nothing panics: everything that is wrong is a diagnostic.

use midoform_compiler::network::lock_file;
use midoform_compiler::source::Source;
use midoform_compiler::{Allocated, Input, compile};
use proptest::prelude::*;

use crate::samples::Project;

/// Returns a text with a few bytes replaced, taken out, or doubled.
fn mutated(text: &str, edits: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (place, kind, value) in edits {
        if bytes.is_empty() {
            break;
        }
        let at = place % bytes.len();
        match kind % 4 {
            0 => bytes[at] = *value,
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, *value),
            _ => {
                let end = (at + usize::from(*value)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_files_are_compiled_or_refused(
        edits in proptest::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..12),
        which in 0..4usize,
    ) {
        let mut project = Project::example("policy");
        let locked = lock_file::to_toml(&project.compile().allocations).unwrap();
        let mut lock = Source::new("midoform.lock", locked.as_str());
        match which {
            0 => project.site.content = Ok(mutated(project.site.text(), &edits)),
            1 => lock.content = Ok(mutated(&locked, &edits)),
            at => project.tenants[at - 2].content = Ok(mutated(project.tenants[at - 2].text(), &edits)),
        }
        let input = Input { site: &project.site, allocated: Allocated::LockFile(&lock), tenants: &project.tenants };
        if let Err(found) = compile(input) {
            prop_assert!(!found.is_empty());
            let sources = input.sources();
            prop_assert_eq!(midoform_compiler::diagnostic::report(&found, &sources).len(), found.len());
        }
    }
}

/// Values at the edges of what their types hold.
#[test]
fn extreme_values_are_refused_with_words() {
    let site = "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n";
    let texts = [
        "name = \"a\"\nmtu = 99999999999999999999\n",
        "name = \"a\"\n[[bridge]]\nname = \"b\"\ncidr = \"255.255.255.255/32\"\n",
        "name = \"a\"\n[[bridge]]\nname = \"b\"\ncidr = \"0.0.0.0/0\"\ngateway = \"first\"\n",
        "name = \"a\"\negress = { snat = \"0.0.0.0-255.255.255.255\" }\n",
        "name = \"a\"\nlink = { provider = \"255.255.255.255\", tenant = \"0.0.0.0\" }\n",
        "name = \"a\"\n[[rule]]\nname = \"r\"\nto = { tcp = \"1-65536\" }\naction = \"drop\"\n",
        "name = \"a\"\n[[rule]]\nname = \"r\"\nto = { tcp = [] }\naction = \"drop\"\n",
        "name = \"a\"\n[[route]]\ndestination = \"0.0.0.0/0\"\ntype = \"reject\"\nweight = -1\n",
    ];
    for text in texts {
        let project = Project::of_text(site, &[("a.toml", text)]);
        let found =
            compile(Input { site: &project.site, allocated: Allocated::Nothing, tenants: &project.tenants });
        assert!(found.is_err(), "{text}");
    }
}
