use super::risk::SHARED_ROUTER;
use super::{ReviewPage, SCRIPTS, STYLES, TEMPLATE, write, write_escaped};
use midoform_compiler::plan::cut::CutPort;
use midoform_compiler::printable::{is_escaped, printable};
use midoform_compiler::source::Source;
use midoform_compiler::topology::foreign::Foreign;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::Kind;
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::{Allocated, Input, compile};

fn escaped(json: &str) -> String {
    let mut out = Vec::new();
    write_escaped(json, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn no_text_ends_the_block_that_it_stands_in() {
    let text = "</script><!-- & \u{2028}\u{2029} é";
    let json = serde_json::to_string(text).unwrap();
    let written = escaped(&json);
    assert!(!written.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{written}");
    assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text, "it says the same");
}

#[test]
fn the_assets_ask_no_network_and_end_nothing_early() {
    assert_eq!(TEMPLATE.matches("@@").count(), 8, "four places");
    for part in SCRIPTS.iter().chain(&STYLES) {
        assert!(!part.contains("</script") && !part.contains("</style") && !part.contains("<!--"));
        for word in [
            "fetch(",
            "XMLHttpRequest",
            "WebSocket",
            "import(",
            "@import",
            " url(",
            ":url(",
            "innerHTML",
            "eval(",
        ] {
            assert!(!part.contains(word), "{word}");
        }
        let named = part.replace("http://www.w3.org/2000/svg", "");
        assert!(!named.contains("http:") && !named.contains("https:"));
    }
}

/// Returns the colours of a block of tokens, by name.
fn colours(block: &str) -> std::collections::BTreeMap<&str, [f64; 3]> {
    let declared = block.lines().filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"));
    declared
        .map(|(name, value)| {
            let channel = |at: usize| f64::from(u8::from_str_radix(&value[at..at + 2], 16).unwrap());
            (name, [channel(0), channel(2), channel(4)])
        })
        .collect()
}

/// Returns the contrast as WCAG 2.1 defines it.
fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let light = |colour: [f64; 3]| {
        let [red, green, blue] = colour.map(|channel| {
            let part = channel / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    };
    let (one, other) = (light(one), light(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn texts_and_lines_stand_out_in_light_and_dark() {
    let blocks: Vec<&str> = STYLES[0].split(":root").skip(1).collect();
    assert_eq!(blocks.len(), 3, "light, dark by the system, dark by choice");
    assert_eq!(colours(blocks[1]), colours(blocks[2]), "both darks are one");
    for block in &blocks {
        let colours = colours(block);
        let texts = ["text", "muted", "accent", "create", "update", "replace", "delete", "keep"];
        for text in texts {
            let own = format!("{text}-ground");
            let grounds = ["ground", "panel", "raised", &own, "keep-ground", "accent-ground"];
            for ground in grounds.into_iter().filter_map(|name| Some((name, *colours.get(name)?))) {
                let ratio = contrast(colours[text], ground.1);
                assert!(ratio >= 4.5, "{text} on {}: {ratio:.2}", ground.0);
            }
        }
        for ground in ["ground", "panel", "raised"] {
            let ratio = contrast(colours["edge"], colours[ground]);
            assert!(ratio >= 3.0, "edge on {ground}: {ratio:.2}");
        }
    }
}

/// Returns the page of a tenant with a bridge `web`, to which a pod is attached that is cut off.
fn a_page(file: &str, pod: &str) -> String {
    let site = Source::new("site.toml", "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n");
    let tenant = Source::new(file, "name = \"acme\"\n\n[[bridge]]\nname = \"web\"\n");
    let compiled = compile(Input { site: &site, allocated: Allocated::Nothing, tenants: &[tenant] }).unwrap();
    let observed = Observed::default();
    let plan = compiled.plan(&compiled.topology, &observed);
    let near = Key::new("acme/bridge/web");
    let attached = [Foreign::new(near, Kind::BridgePort, uuid::Uuid::nil(), pod.to_owned())];
    let page = ReviewPage {
        plan: &plan,
        desired: &compiled.topology,
        before: &observed.topology,
        provider: &midoform_compiler::midonet::lower::provider_router(&compiled.site),
        reachability: None,
        foreign: &attached,
        attached: &attached,
        cut_pods: &[CutPort { what: pod.to_owned(), is_pod: true }],
        base_url: "http://api",
        saved_sha256: None,
    };
    let mut html = Vec::new();
    write(&page, &mut html).unwrap();
    String::from_utf8(html).unwrap()
}

fn data_of(html: &str) -> serde_json::Value {
    let (_, behind) = html.split_once("id=\"data\">").unwrap();
    serde_json::from_str(behind.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn the_data_holds_every_object_and_every_step_with_its_source() {
    let data = data_of(&a_page("acme.toml", "<pod>"));
    let objects = data["objects"].as_array().unwrap();
    let keys: Vec<String> = objects
        .iter()
        .map(|row| {
            let tenant = data["tenants"].as_array().unwrap().iter().find(|tenant| {
                let number = objects.iter().position(|other| other == row).unwrap() as u64;
                (tenant["start"].as_u64().unwrap()..tenant["end"].as_u64().unwrap()).contains(&number)
            });
            let number = row[0].as_u64().or(row[0][0].as_u64()).unwrap();
            let pattern = data["texts"]["patterns"][number as usize].as_str().unwrap();
            pattern.replace('\u{2}', tenant.unwrap()["name"].as_str().unwrap())
        })
        .collect();
    assert_eq!(data["steps"].as_array().unwrap().len(), objects.len(), "all are made");
    let bridge = keys.iter().position(|key| key == "acme/bridge/web").unwrap();
    assert_eq!(data["attached"], serde_json::json!([[bridge, "<pod>"]]));
    assert_eq!(data["cut_pods"], serde_json::json!(["<pod>"]));
    assert_eq!(objects[bridge][5], 4, "the line");
    assert_eq!(data["files"][objects[bridge][4].as_u64().unwrap() as usize], "acme.toml");
    let shared: Vec<&String> = data["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step[3].as_u64().unwrap() & u64::from(SHARED_ROUTER) != 0)
        .map(|step| &keys[step[0].as_u64().unwrap() as usize])
        .collect();
    assert_eq!(shared, ["site/provider-router", "acme/uplink/provider-port", "acme/uplink/provider-route"]);
}

#[test]
fn nothing_in_the_page_is_unseen() {
    fn strings(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::String(text) => found.push(text.clone()),
            serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
            serde_json::Value::Object(fields) => fields.values().for_each(|item| strings(item, found)),
            _ => {}
        }
    }
    let nasty = "a\u{202e}b\u{85}c\u{9b}31md\u{7}e\u{feff}f\u{2066}\u{7f}";
    let html = a_page(&format!("{nasty}.toml"), nasty);
    assert!(!html.chars().any(|character| is_escaped(character) && character != '\n'));
    let mut found = Vec::new();
    strings(&data_of(&html), &mut found);
    // The marks of the patterns are replaced by what they stand for.
    let is_mark = |character: char| matches!(character, '\u{1}' | '\u{2}');
    for text in &found {
        assert!(!text.chars().any(|character| is_escaped(character) && !is_mark(character)), "{text:?}");
    }
    let shown = printable(nasty).into_owned();
    assert_eq!(
        found.iter().filter(|text| text.contains(&shown)).count(),
        4,
        "the file, and the pod three times"
    );
}
