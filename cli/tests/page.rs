//! The review page in a real browser. Pictures of it are left in `target/screenshots`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use midoform_testutil::browser::Browser;
use midoform_testutil::{TestFolder, root};
use serde_json::{Value, json};

use crate::MIDOFORM;

const HOST: &str = "11111111-2222-3333-4444-555555555555";

/// Starts a browser. Returns none if no browser is installed, and prints that.
fn browser() -> Option<Browser> {
    let browser = Browser::start();
    if browser.is_none() {
        println!("SKIPPED: the review page needs Chromium (Debian: chromium)");
    }
    browser
}

/// Opens a page, and waits until it has drawn itself.
fn open(browser: &mut Browser, folder: &TestFolder, fragment: &str) {
    browser.open(&format!("file://{}/page.html{fragment}", folder.path().display()));
    browser.until("document.querySelector('#changes .row, .empty:not([hidden])')");
}

/// Leaves a picture for people to look at.
fn picture(browser: &mut Browser, name: &str) {
    let folder = root().join("target/screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    let png = STANDARD.decode(browser.screenshot()).unwrap();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{name}: a picture of something");
    std::fs::write(folder.join(format!("{name}.png")), png).unwrap();
}

/// Returns the texts of all elements that a selector finds.
fn texts(browser: &mut Browser, selector: &str) -> Vec<String> {
    let expression =
        format!("[...document.querySelectorAll({})].map((e) => e.textContent)", Value::from(selector));
    serde_json::from_value(browser.evaluate(&expression)).unwrap()
}

fn count(browser: &mut Browser) -> String {
    texts(browser, "#changes .count").concat()
}

const SITE: &str = "name = \"gz1\"\n[midonet]\nembedded = true\nmanaged = true\n[tunnel_zone]\nname = \"gz1\"\n[[host]]\nname = \"node1\"\nid = \"11111111-2222-3333-4444-555555555555\"\ntunnel_address = \"10.0.0.1\"\n";

/// Returns the spec of `acme` with a bridge `web` that has this number of ports, and more.
fn acme(ports: u32, more: &str) -> String {
    let mut text = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.20.0.0/16\"\n".to_owned();
    for number in 1..=ports {
        let (high, low) = (number / 200, number % 200 + 1);
        text += &format!(
            "[[port]]\nname = \"web-{number}\"\nbridge = \"web\"\nhost = \"{HOST}\"\ninterface = \"tap{number}\"\nmac = \"02:00:00:00:{high:02x}:{low:02x}\"\naddress = \"10.20.{high}.{low}\"\n"
        );
    }
    text + more
}

const OLD: &str = "[[bridge]]\nname = \"db\"\ncidr = \"10.30.0.0/24\"\n[[bridge]]\nname = \"old\"\ncidr = \"10.31.0.0/24\"\n[[rule]]\nname = \"shut\"\nto = { bridge = \"db\" }\naction = \"drop\"\n[[peer]]\ntenant = \"shared\"\n";
const NEW: &str = "[[bridge]]\nname = \"db\"\ncidr = \"10.32.0.0/24\"\n[[bridge]]\nname = \"edge\"\ncidr = \"10.33.0.0/24\"\n[[expose]]\npublic = \"203.0.113.10:443\"\nto = { bridge = \"web\", address = \"10.20.0.9\", tcp = 8443 }\n[[peer]]\ntenant = \"shared\"\n";
const SHARED: &str =
    "name = \"shared\"\n[[bridge]]\nname = \"logs\"\ncidr = \"10.99.0.0/24\"\n[[peer]]\ntenant = \"acme\"\n";

/// Makes a folder whose spec changes an applied network in every way.
fn a_change() -> TestFolder {
    let folder = TestFolder::default();
    folder.write("site.toml", SITE);
    folder.write("acme.toml", acme(9, OLD));
    folder.write("shared.toml", SHARED);
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    folder.write("acme.toml", acme(12, NEW));
    let ran = folder.run(MIDOFORM, &["plan", ".", "--html", "page.html"]).expect_code(0);
    assert!(ran.stderr.contains("review page: page.html"), "{}", ran.stderr);
    folder
}

fn offline(tenants: &[(&str, &str)]) -> TestFolder {
    let folder = TestFolder::default();
    folder.write("site.toml", SITE);
    tenants.iter().for_each(|(name, text)| folder.write(name, text));
    let _ = folder.run(MIDOFORM, &["plan", ".", "--offline", "--html", "page.html"]).expect_code(0);
    folder
}

#[test]
fn a_change_is_shown_filtered_searched_and_explained() {
    let Some(mut browser) = browser() else { return };
    let folder = a_change();
    browser.resize(1600, 1000);
    browser.media("screen", "light");
    open(&mut browser, &folder, "");
    picture(&mut browser, "overview-light");
    let plan = folder.run(MIDOFORM, &["plan", ".", "--json"]).expect_code(0).stdout;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let cards = texts(&mut browser, ".card b");
    let of = |name: &str| plan["summary"][name].as_u64().unwrap();
    let wanted = ["create", "update", "replace", "delete", "keep"].map(|name| of(name).to_string());
    assert_eq!(cards, wanted);
    assert!(of("create") > 0 && of("replace") > 0 && of("delete") > 0, "{wanted:?}");
    let risks = texts(&mut browser, "#overview .risk strong");
    for risk in ["cut traffic", "new way in from the world", "let something in", "deletions", "replacement"] {
        assert!(risks.iter().any(|said| said.contains(risk)), "{risk}: {risks:?}");
    }
    let reached = texts(&mut browser, "#overview .reach").concat();
    for part in ["Opened", "world", "acme/web", "tcp/443", "acme.toml:"] {
        assert!(reached.contains(part), "{part}: {reached}");
    }
    filters(&mut browser, &plan);
    search(&mut browser);
    detail(&mut browser);
    picture(&mut browser, "tenant-light");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

fn filters(browser: &mut Browser, plan: &Value) {
    let steps = plan["steps"].as_array().unwrap();
    let changes = steps.iter().filter(|step| step["action"] != "keep").count();
    let having = |name: &str, value: Value| steps.iter().filter(|step| step[name] == value).count();
    assert_eq!(count(browser), format!("{changes} changes"));
    browser.click("[data-filter='actions:delete']");
    assert_eq!(count(browser), format!("{} of {changes} changes", having("action", json!("delete"))));
    browser.click("[data-filter='actions:replace']");
    let both = having("action", json!("delete")) + having("action", json!("replace"));
    assert_eq!(count(browser), format!("{both} of {changes} changes"));
    browser.click("#clear");
    browser.click("[data-filter='risks:cuts']");
    assert_eq!(count(browser), format!("{} of {changes} changes", having("cuts_traffic", json!(true))));
    let signs = texts(browser, "#changes .row .sign .unseen");
    assert!(signs.iter().all(|sign| sign == "deleted" || sign == "replaced"), "{signs:?}");
    browser.click("#clear");
    browser.evaluate("(() => { const s = document.getElementById('kind'); s.value = 'route'; s.dispatchEvent(new Event('change')); })()");
    let routes = steps.iter().filter(|step| step["kind"] == "route" && step["action"] != "keep").count();
    assert_eq!(count(browser), format!("{routes} of {changes} changes"));
    browser.click("#clear");
    assert_eq!(count(browser), format!("{changes} changes"));
}

fn search(browser: &mut Browser) {
    browser.press("/");
    browser.write("203.0.113.10");
    browser.until("location.hash.includes('q=203.0.113.10')");
    let keys = texts(browser, "#changes .row .key");
    assert!(keys.iter().any(|key| key.contains("expose/203.0.113.10/tcp/443")), "{keys:?}");
    assert_eq!(texts(browser, "#tenants .row .grow"), ["acme"], "only that tenant has it");
    browser.press("Escape");
    browser.until("!location.hash.includes('q=')");
    assert_eq!(texts(browser, "#tenants .row .grow"), ["acme", "shared", "site (shared)"]);
}

fn detail(browser: &mut Browser) {
    // By the keyboard alone: to the tenants, to the first, to its drawing.
    browser.evaluate("document.activeElement.blur()");
    browser.press("t");
    browser.press("ArrowDown");
    browser.until("location.hash.includes('tenant=acme')");
    assert_eq!(texts(browser, "#tenant-title"), ["acme"]);
    let nodes = texts(browser, "#tenant svg .node text.name");
    for name in [
        "acme default router",
        "acme web",
        "acme db",
        "acme old",
        "acme edge",
        "12 ports",
        "tcp 203.0.113.10:443",
    ] {
        assert!(nodes.iter().any(|node| node == name), "{name}: {nodes:?}");
    }
    let class = |browser: &mut Browser, name: &str| {
        browser.evaluate(&format!(
            "[...document.querySelectorAll('#tenant svg .node')].find((n) => n.querySelector('.name').textContent === '{name}').getAttribute('class')"
        ))
    };
    assert_eq!(class(browser, "acme edge"), "node is-create");
    assert_eq!(class(browser, "acme old"), "node is-delete");
    assert_eq!(class(browser, "acme web"), "node is-keep");
    browser.evaluate("[...document.querySelectorAll('#tenant svg .node')].find((n) => n.querySelector('.name').textContent === 'acme edge').dispatchEvent(new MouseEvent('click', {bubbles: true}))");
    let said = texts(browser, "#detail").concat();
    for part in [
        "acme/bridge/edge",
        "created",
        "is not there yet",
        "acme.toml:",
        "POST",
        "/bridges",
        "\"name\": \"acme edge\"",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // The changed fields, before and after.
    browser.evaluate("location.hash = 'tenant=acme&object=acme/bridge/db/gateway-port'");
    browser.until("document.querySelector('#detail h2')?.textContent === 'acme/bridge/db/gateway-port'");
    assert_eq!(texts(browser, "#detail .diff del"), ["10.30.0.254", "10.30.0.0/24"]);
    assert_eq!(texts(browser, "#detail .diff ins"), ["10.32.0.254", "10.32.0.0/24"]);
    let methods = texts(browser, "#detail > .call .line b");
    assert_eq!(methods, ["DELETE", "POST"]);
    assert!(texts(browser, "#detail .warn").concat().contains("Traffic"));
    // A folded port is unfolded when it is chosen.
    browser.evaluate("location.hash = 'tenant=acme&object=acme/port/web-11'");
    browser.until("document.querySelector('#tenant svg .node.chosen')");
    assert_eq!(texts(browser, "#tenant svg .node.chosen .name"), ["web-11"]);
    browser.press("Escape");
    browser.until("document.getElementById('detail').hidden");
}

#[test]
fn two_hundred_ports_are_folded_and_unfolded() {
    let Some(mut browser) = browser() else { return };
    let folder = offline(&[("acme.toml", &acme(200, ""))]);
    browser.resize(1600, 1000);
    browser.media("screen", "dark");
    open(&mut browser, &folder, "#tenant=acme");
    let nodes = texts(&mut browser, "#tenant svg .node text.name");
    assert!(nodes.len() < 8 && nodes.iter().any(|name| name == "200 ports"), "{nodes:?}");
    picture(&mut browser, "ports-folded-dark");
    // By the keyboard: a folded node is a button.
    browser.evaluate("[...document.querySelectorAll('#tenant svg .node')].find((n) => n.textContent.includes('200 ports')).focus()");
    browser.press("Enter");
    browser.until("document.querySelectorAll('#tenant svg .node').length > 200");
    picture(&mut browser, "ports-unfolded-dark");
    let overlaps = browser.evaluate(
        "(() => { const b = [...document.querySelectorAll('#tenant svg .node .box')].map((e) => e.getBBox()); let n = 0; for (let i = 0; i < b.length; i++) for (let j = 0; j < i; j++) if (b[i].x < b[j].x + b[j].width && b[j].x < b[i].x + b[i].width && b[i].y < b[j].y + b[j].height && b[j].y < b[i].y + b[i].height) n++; return n; })()",
    );
    assert_eq!(overlaps, 0, "no node covers another");
    let before = browser.evaluate("document.querySelector('#tenant svg > g').getAttribute('transform')");
    browser.evaluate("document.querySelector('#tenant svg').focus()");
    browser.press("+");
    let zoomed = browser.evaluate("document.querySelector('#tenant svg > g').getAttribute('transform')");
    assert_ne!(before, zoomed);
    browser.press("0");
    assert_eq!(
        before,
        browser.evaluate("document.querySelector('#tenant svg > g').getAttribute('transform')")
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Returns the position and the scale of the drawing: `translate(x y) scale(s)`.
fn stand(browser: &mut Browser) -> [f64; 3] {
    let text = browser.evaluate("document.querySelector('#tenant svg > g').getAttribute('transform')");
    let text = text.as_str().unwrap().replace(['(', ')'], " ");
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().unwrap()
}

fn point(browser: &mut Browser, expression: &str) -> (f64, f64) {
    let found = browser.evaluate(expression);
    (found[0].as_f64().unwrap(), found[1].as_f64().unwrap())
}

#[test]
fn the_drawing_is_zoomed_by_the_wheel_and_moved_by_dragging() {
    let Some(mut browser) = browser() else { return };
    let folder = offline(&[("acme.toml", &acme(3, ""))]);
    browser.resize(1600, 1000);
    open(&mut browser, &folder, "#tenant=acme");
    let corner = point(
        &mut browser,
        "(() => { const b = document.querySelector('#tenant svg').getBoundingClientRect(); return [b.left, b.top]; })()",
    );
    let at = (corner.0 + 200.0, corner.1 + 120.0);
    let [x, y, scale] = stand(&mut browser);
    browser.wheel(at, -300.0);
    browser.until(&format!(
        "!document.querySelector('#tenant svg > g').getAttribute('transform').includes('scale({scale})')"
    ));
    let [near_x, near_y, near_scale] = stand(&mut browser);
    assert!(near_scale > scale * 1.3, "{scale} and {near_scale}");
    // The point under the mouse keeps its place.
    for (before, after) in [
        ((200.0 - x) / scale, (200.0 - near_x) / near_scale),
        ((120.0 - y) / scale, (120.0 - near_y) / near_scale),
    ] {
        assert!((before - after).abs() < 0.01, "{before} and {after}");
    }
    browser.wheel(at, 600.0);
    browser.until(&format!(
        "!document.querySelector('#tenant svg > g').getAttribute('transform').includes('scale({near_scale})')"
    ));
    assert!(stand(&mut browser)[2] < scale);
    browser.evaluate("document.querySelector('#tenant svg').focus()");
    browser.press("0");
    // A drag that starts and ends on a node moves all and chooses nothing.
    let node = "(() => { const b = [...document.querySelectorAll('#tenant svg .node')].find((n) => n.querySelector('.name').textContent === 'acme web').getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()";
    let from = point(&mut browser, node);
    let [x, y, _] = stand(&mut browser);
    browser.drag(&[from, (from.0 + 30.0, from.1 + 10.0), (from.0 + 70.0, from.1 + 40.0)]);
    let [moved_x, moved_y, _] = stand(&mut browser);
    assert!(
        (moved_x - x - 70.0).abs() < 0.01 && (moved_y - y - 40.0).abs() < 0.01,
        "{x} {y} {moved_x} {moved_y}"
    );
    browser.evaluate("new Promise((done) => setTimeout(done, 50))");
    assert_eq!(browser.evaluate("location.hash.includes('object=')"), false);
    // A click does choose.
    let to = point(&mut browser, node);
    browser.drag(&[to]);
    browser.until("decodeURIComponent(location.hash).includes('object=acme/bridge/web')");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_call_is_copied_as_a_command_that_a_shell_takes() {
    let Some(mut browser) = browser() else { return };
    let folder = offline(&[("acme.toml", &acme(0, ""))]);
    browser.call(
        "Browser.grantPermissions",
        json!({"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}),
    );
    open(&mut browser, &folder, "#tenant=acme&object=acme/bridge/web");
    browser.until("document.querySelector('#detail .call button')");
    browser.click("#detail .call button");
    browser.until("document.querySelector('#detail .call button').textContent === 'Copied'");
    let copied = browser.evaluate("navigator.clipboard.readText()");
    let command = copied.as_str().unwrap().strip_prefix("curl ").unwrap();
    let words = std::process::Command::new("sh")
        .args(["-c", &format!("for word in {command}; do printf '%s\\n' \"$word\"; done")])
        .output()
        .unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    let words: Vec<&str> = words.lines().collect();
    let ["-X", "POST", "-H", media, "-d", body, url] = words.as_slice() else { panic!("{words:?}") };
    assert!(media.starts_with("Content-Type: application/vnd.org.midonet.Bridge"), "{media}");
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["name"], "acme web");
    assert!(url.ends_with("/bridges"), "{url}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn light_and_dark_and_paper() {
    let Some(mut browser) = browser() else { return };
    let folder = a_change();
    browser.resize(1600, 1000);
    let ground = "getComputedStyle(document.body).backgroundColor";
    browser.media("screen", "dark");
    open(&mut browser, &folder, "#tenant=acme&object=acme/bridge/db/gateway-port");
    assert_eq!(browser.evaluate(ground), "rgb(14, 19, 26)");
    picture(&mut browser, "tenant-dark");
    browser.click("#theme");
    assert_eq!(browser.evaluate(ground), "rgb(255, 255, 255)");
    browser.click("#theme");
    assert_eq!(browser.evaluate(ground), "rgb(14, 19, 26)");
    let pdf = browser.call("Page.printToPDF", json!({"printBackground": true}));
    let pdf = STANDARD.decode(pdf["data"].as_str().unwrap()).unwrap();
    assert!(pdf.starts_with(b"%PDF") && pdf.len() > 20_000, "{} bytes", pdf.len());
    std::fs::write(root().join("target/screenshots/tenant.pdf"), pdf).unwrap();
    browser.media("print", "light");
    assert_eq!(browser.evaluate(ground), "rgb(255, 255, 255)", "paper is white");
    assert_eq!(browser.evaluate("getComputedStyle(document.querySelector('.columns')).display"), "none");
    let paper = texts(&mut browser, "#paper").concat();
    for part in ["tenant acme", "acme/bridge/old", "cuts traffic", "DELETE /"] {
        assert!(paper.contains(part), "{part} on paper");
    }
    browser.resize(1000, 1400);
    picture(&mut browser, "paper");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Accessibility: names and roles, focus, and contrast.
#[test]
fn everything_has_a_name_a_role_and_contrast() {
    let Some(mut browser) = browser() else { return };
    let folder = a_change();
    browser.resize(1400, 900);
    for (scheme, fragment) in [
        ("light", ""),
        ("dark", ""),
        ("light", "#tenant=acme&object=acme/router"),
        ("dark", "#tenant=acme&object=acme/bridge/db/gateway-port"),
    ] {
        browser.media("screen", scheme);
        open(&mut browser, &folder, fragment);
        let found = browser.evaluate(include_str!("page/accessibility.js"));
        assert_eq!(found, json!([]), "{scheme} {fragment}");
        assert_eq!(browser.complaints(), Vec::<String>::new());
    }
    browser.resize(420, 800);
    open(&mut browser, &folder, "");
    assert_eq!(
        browser.evaluate("document.documentElement.scrollWidth <= innerWidth"),
        true,
        "no sideways scrolling"
    );
    picture(&mut browser, "narrow");
    browser.resize(1400, 900);
    open(&mut browser, &folder, "");
    browser.press("?");
    browser.until("document.getElementById('help').open");
    picture(&mut browser, "keys");
    browser.press("Escape");
    browser.until("!document.getElementById('help').open");
}

/// The names of files can't be trusted.
#[test]
fn no_text_of_a_spec_gets_out_of_the_data() {
    let Some(mut browser) = browser() else { return };
    let name =
        "</script><script>document.title = 'broken'</script><!-- \u{2028}<img src=x onerror=alert(1)>.toml";
    let escaped = name.replace('/', "\u{2215}");
    let folder = offline(&[(&escaped, "name = \"acme\"\n[[bridge]]\nname = \"web\"\n")]);
    let html = folder.read("page.html");
    assert_eq!(html.matches("</script").count(), 2, "the data's end and the script's");
    assert!(!html.contains("<img"));
    open(&mut browser, &folder, "#tenant=acme&object=acme/router");
    assert_eq!(browser.evaluate("document.title"), "midoform review: gz1");
    assert!(texts(&mut browser, "#detail .facts").concat().contains("<img src=x onerror=alert(1)>.toml:1"));
    // Foreign scripts do not run either.
    browser.evaluate("(() => { const s = document.createElement('script'); s.textContent = 'window.intruder = 1'; document.body.append(s); })()");
    assert_eq!(browser.evaluate("typeof window.intruder"), "undefined");
}

#[test]
fn the_page_is_written_whole_or_not_at_all() {
    let folder = offline(&[("acme.toml", "name = \"acme\"\n")]);
    let first = folder.read("page.html");
    let again =
        folder.run(MIDOFORM, &["plan", ".", "--offline", "--html", "page.html", "--json"]).expect_code(0);
    assert_eq!(folder.read("page.html"), first, "the same input, the same page");
    assert!(again.stdout.starts_with("{\"format\""), "the other form comes too");
    let ran =
        folder.run(MIDOFORM, &["plan", ".", "--offline", "--html", "nowhere/page.html"]).expect_code(74);
    assert!(ran.stderr.contains("nowhere/page.html"), "{}", ran.stderr);
    let quiet = folder.run(MIDOFORM, &["plan", ".", "--offline", "--html", "page.html", "-q"]).expect_code(0);
    assert_eq!(quiet.stderr, "");
}
