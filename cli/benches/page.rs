//! The times to write the review page, and to open and search it in Chromium.
//! `cargo bench -p midoform --bench page`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::too_many_lines,
    missing_docs,
    reason = "a benchmark says what it measured, and ends where it can't"
)]

use std::time::Instant;

use midoform_testutil::browser::Browser;
use midoform_testutil::{TestFolder, root};

const RUNS: usize = 7;

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let Some(mut browser) = Browser::start() else {
        println!("SKIPPED: the review page needs Chromium (Debian: chromium)");
        return;
    };
    browser.resize(1600, 1000);
    println!("tenants  written ms  plan KB  page KB  opened ms  searched ms  tenant drawn ms");
    for tenants in [100, 1000, 10_000] {
        let folder = TestFolder::default();
        folder.copy_example("fleet");
        std::fs::remove_dir_all(folder.path().join("tenants")).unwrap();
        let script = root().join("examples/fleet/generate.sh");
        let _ = folder.run("sh", &[script.to_str().unwrap(), &tenants.to_string(), "tenants"]).expect_code(0);
        let binary = env!("CARGO_BIN_EXE_midoform");
        let plan = folder.run(binary, &["plan", ".", "--offline", "--json"]).expect_code(0).stdout.len();
        let written = (0..RUNS).map(|_| {
            let began = Instant::now();
            let arguments = ["plan", ".", "--offline", "--html", "page.html", "--format", "markdown"];
            let _ = folder.run(binary, &arguments).expect_code(0);
            began.elapsed().as_secs_f64() * 1e3
        });
        let written = median(written.collect());
        let page = std::fs::metadata(folder.path().join("page.html")).unwrap().len();
        let (mut opened, mut searched, mut drawn) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..RUNS {
            browser.open(&format!("file://{}/page.html", folder.path().display()));
            browser.until("performance.getEntriesByName('shown').length");
            opened.push(
                browser.evaluate("performance.getEntriesByName('shown')[0].startTime").as_f64().unwrap(),
            );
            // Besides the time that the page waits for more keys.
            let search = "new Promise((done) => { const began = performance.now(); const look = () => location.hash.includes('q=') ? done(performance.now() - began - 90) : setTimeout(look); const s = document.getElementById('search'); s.value = 'tenant-00077/uplink/port'; s.dispatchEvent(new Event('input')); look(); })";
            searched.push(browser.evaluate(search).as_f64().unwrap());
            let tenant = "new Promise((done) => { const began = performance.now(); location.hash = 'tenant=tenant-00050'; const look = () => document.querySelector('#tenant-title') ? done(performance.now() - began) : setTimeout(look); look(); })";
            drawn.push(browser.evaluate(tenant).as_f64().unwrap());
        }
        println!(
            "{tenants:>7}  {written:>10.0}  {:>7}  {:>7}  {:>9.0}  {:>11.0}  {:>15.0}",
            plan / 1000,
            page / 1000,
            median(opened),
            median(searched),
            median(drawn)
        );
    }
}
