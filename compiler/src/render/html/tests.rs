use super::{SCRIPTS, STYLES, TEMPLATE, write_escaped};

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

/// The colours of a block of tokens, by name.
fn colours(block: &str) -> std::collections::BTreeMap<&str, [f64; 3]> {
    let declared = block.lines().filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"));
    declared
        .map(|(name, value)| {
            let channel = |at: usize| f64::from(u8::from_str_radix(&value[at..at + 2], 16).unwrap());
            (name, [channel(0), channel(2), channel(4)])
        })
        .collect()
}

/// Contrast as WCAG 2.1 defines it.
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
