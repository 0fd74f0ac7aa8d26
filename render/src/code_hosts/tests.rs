use serde_json::{Value, json};

use super::{github, gitlab, sarif};
use midoform_compiler::diagnostic::{Code, Diagnostic, DiagnosticReport, report};
use midoform_compiler::source::{Source, SourceId, Span};

fn span(source: u32, start: u32, end: u32) -> Span {
    Span { source: SourceId(source), start, end }
}

/// Runs a check on the reports of two files that have difficult names.
fn with_findings(check: impl FnOnce(&[DiagnosticReport<'_>])) {
    let site = Source::new("net works/100%,a:b.toml", "name = \"x\"\n[policy]\n");
    let tenant = Source::new("/srv/租户.toml", "name = \"é\"\nlabels = {\n}\n");
    let found = [
        Diagnostic::error(Code::PolicyName, span(1, 7, 11), "50% of it,\r\nor: all")
            .here("this one")
            .also(span(0, 11, 19), "the policy")
            .help("first")
            .help("second"),
        Diagnostic::warning(Code::UnusedGroup, span(0, 0, 4), "twice"),
        Diagnostic::warning(Code::UnusedGroup, span(0, 5, 6), "twice"),
        Diagnostic::error(Code::Syntax, span(1, 12, 24), "over two lines"),
        Diagnostic::error(Code::Syntax, span(9, 0, 0), "in no file"),
    ];
    check(&report(&found, &[&site, &tenant]));
}

#[test]
fn sarif_is_as_its_schema_wants_it() {
    let schema = include_str!("../../testdata/sarif/sarif-schema-2.1.0.json");
    let mut schema: Value = serde_json::from_str(schema).unwrap();
    // The schema's own mistake: these patterns have a bracket too many.
    for kind in ["run", "toolComponent"] {
        schema["definitions"][kind]["properties"]["language"].as_object_mut().unwrap().remove("pattern");
    }
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors = |log: &Value| validator.iter_errors(log).map(|error| error.to_string()).collect::<Vec<_>>();
    assert_eq!(errors(&sarif(&[])), Vec::<String>::new());
    with_findings(|findings| {
        let mut log = sarif(findings);
        assert_eq!(errors(&log), Vec::<String>::new());
        let results = log["runs"][0]["results"].as_array().unwrap();
        assert_eq!(results.len(), 5);
        let file = |result: &Value| {
            result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str().map(str::to_owned)
        };
        assert_eq!(file(&results[0]).unwrap(), "file:///srv/%E7%A7%9F%E6%88%B7.toml");
        assert_eq!(file(&results[1]).unwrap(), "net%20works/100%25%2Ca%3Ab.toml");
        assert_eq!(results[0]["relatedLocations"][0]["message"]["text"], "the policy");
        let marks = |result: &Value| result["partialFingerprints"]["midoform/v1"].clone();
        assert_ne!(marks(&results[1]), marks(&results[2]), "findings that are alike are told apart");
        let region = &results[0]["locations"][0]["physicalLocation"]["region"];
        assert_eq!((&region["startColumn"], &region["endColumn"]), (&Value::from(8), &Value::from(11)));
        // The validator does see what is wrong.
        log["runs"][0]["results"][0]["level"] = Value::from("fatal");
        assert_eq!(errors(&log).len(), 1);
    });
}

#[test]
fn github_takes_one_line_for_each_and_nothing_of_the_text_for_a_command() {
    let expected = [
        "::error file=/srv/租户.toml,line=1,endLine=1,col=8,endColumn=11,title=policy-name::50%25 of it,%0D%0Aor: all: this one%0Anet works/100%25,a:b.toml:2: the policy%0Ahelp: first%0Ahelp: second",
        "::warning file=net works/100%25%2Ca%3Ab.toml,line=1,endLine=1,col=1,endColumn=5,title=unused-group::twice",
        "::warning file=net works/100%25%2Ca%3Ab.toml,line=1,endLine=1,col=6,endColumn=7,title=unused-group::twice",
        "::error file=/srv/租户.toml,line=2,endLine=3,title=syntax::over two lines",
        "::error title=syntax::in no file",
    ];
    with_findings(|findings| assert_eq!(github(findings).lines().collect::<Vec<_>>(), expected));
}

#[test]
fn gitlab_tells_findings_apart_whatever_their_lines() {
    with_findings(|findings| {
        let found = gitlab(findings);
        let marks: std::collections::BTreeSet<&str> =
            found.as_array().unwrap().iter().filter_map(|one| one["fingerprint"].as_str()).collect();
        assert_eq!(marks.len(), 5);
        assert_eq!(found[3]["location"]["lines"], json!({"begin": 2, "end": 3}));
        assert_eq!(found[1]["severity"], "minor");
        let mut moved = findings.to_vec();
        moved.iter_mut().flat_map(|finding| &mut finding.positions).for_each(|position| position.line += 7);
        assert_eq!(gitlab(&moved)[0]["fingerprint"], found[0]["fingerprint"]);
    });
}
