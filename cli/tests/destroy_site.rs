//! `destroy --site`: the site's own objects.

use serde_json::json;

use crate::by_hand::{ByHand, VERSIONS};

const WEB: &str = "[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n";

#[test]
fn the_sites_objects_are_deleted_with_the_tenants_and_made_again() {
    for version in VERSIONS {
        let lab = ByHand::new(version, &[("acme", WEB)]);
        let count = |kind: &str| lab.objects(kind).len();
        for option in ["--site", "--site-objects"] {
            let _ = lab.run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
            assert_eq!((count("Router"), count("TunnelZone")), (2, 1), "{version:?}");
            let _ = lab.run(&["destroy", ".", "--yes"]).expect_code(0);
            assert_eq!(
                (count("Router"), count("TunnelZone")),
                (1, 1),
                "{version:?}: the site's objects stay"
            );
            let _ = lab.run(&["destroy", ".", option, "--yes"]).expect_code(0);
            assert_eq!((count("Router"), count("TunnelZone")), (0, 0), "{version:?}");
            let again = lab.run(&["destroy", ".", option, "--yes"]).expect_code(0);
            assert!(again.stdout.contains("No changes"), "{version:?}:\n{}", again.stdout);
        }
        let _ = lab.run(&["apply", ".", "--yes", "--verify"]).expect_code(0);
        // Everything in one run, and the site file by its name.
        let _ = lab.run(&["destroy", ".", "--site", "site.toml", "--site-objects", "--yes"]).expect_code(0);
        assert_eq!((count("Router"), count("TunnelZone"), count("Port")), (0, 0, 0), "{version:?}");
    }
}

#[test]
fn site_objects_that_others_use_stay() {
    for version in VERSIONS {
        let lab = ByHand::new(version, &[("acme", WEB), ("beta", &WEB.replace("10.1", "10.2"))]);
        let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
        let beta = lab.folder.read("beta.toml");
        std::fs::remove_file(lab.folder.path().join("beta.toml")).unwrap();
        let refused = lab.run(&["destroy", ".", "--site", "--yes"]).expect_code(6);
        assert!(refused.stderr.contains("tenant `beta`, which has no tenant file"), "{}", refused.stderr);
        lab.folder.write("beta.toml", beta);
        let port = json!({ "type": "Router", "portAddress": "192.0.2.1", "networkAddress": "192.0.2.0", "networkLength": 24 });
        let id = lab.post(&format!("/routers/{}/ports", lab.id("site/provider-router")), "Port", &port);
        let refused = lab.run(&["destroy", ".", "--site", "--yes"]).expect_code(6);
        assert!(
            refused.stderr.contains(&format!("port 192.0.2.1 of the provider router ({id})")),
            "{}",
            refused.stderr
        );
        assert_eq!(lab.objects("Router").len(), 3, "{version:?}: nothing was deleted");
        let usage = lab.run(&["destroy", ".", "--site", "--target", "acme", "--yes"]).expect_code(64);
        assert!(usage.stderr.contains("--target"), "{}", usage.stderr);
        let _ = lab.run(&["destroy", ".", "--site", "--force", "--yes"]).expect_code(0);
        assert_eq!(lab.objects("Router").len(), 0, "{version:?}");
    }
}

/// A newer midoform may refuse what an earlier one applied. That keeps nothing in the network for ever.
#[test]
fn tenants_with_addresses_that_are_refused_now_are_deleted() {
    for version in VERSIONS {
        for (old, new) in [
            ("cidr = \"10.1.0.0/24\"", "cidr = \"127.1.0.0/24\""),
            ("cidr = \"10.1.0.0/24\"", "cidr = \"10.1.0.0/24\"\ncolour = 5"),
            ("cidr", "gateway = \"224.0.0.1\"\ncidr"),
        ] {
            let lab = ByHand::new(version, &[("acme", WEB), ("beta", &WEB.replace("10.1", "10.2"))]);
            let count = |kind: &str| lab.objects(kind).len();
            let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
            let (site, lock) = (lab.folder.read("site.toml"), lab.folder.read("midoform.lock"));
            lab.folder.write("acme.toml", lab.folder.read("acme.toml").replace(old, new));
            lab.folder.write("site.toml", site.clone() + "[pools]\nlinks = \"169.254.0.0/16\"\n");
            lab.folder.write("midoform.lock", lock.replace("\"172.16.", "\"169.254."));
            let _ = lab.run(&["plan", "."]).expect_code(3);
            let ran = lab.run(&["destroy", ".", "--target", "acme", "--yes"]).expect_code(0);
            assert!(ran.stderr.contains("the specs are wrong"), "{}", ran.stderr);
            assert_eq!((count("Router"), count("Network")), (2, 1), "{version:?}: beta stays");
            let _ = lab.run(&["destroy", ".", "--yes"]).expect_code(0);
            assert_eq!((count("Router"), count("Network"), count("Port")), (1, 0, 0), "{version:?}");
            assert!(!lab.folder.read("midoform.lock").contains("[tenant."), "{version:?}");
        }
    }
}

#[test]
fn a_protected_tenant_with_a_wrong_spec_stays() {
    let lab = ByHand::new(VERSIONS[0], &[("acme", WEB)]);
    let _ = lab.run(&["apply", ".", "--yes"]).expect_code(0);
    let spec = lab.folder.read("acme.toml");
    lab.folder.write(
        "acme.toml",
        spec.replace("10.1.0.0/24", "0.1.0.0/24").replacen('\n', "\nprotect = true\n", 1),
    );
    let refused = lab.run(&["destroy", ".", "--yes"]).expect_code(6);
    assert!(refused.stderr.contains("protected"), "{}", refused.stderr);
    // Nobody knows which tenant this is.
    lab.folder.write("acme.toml", "name = ");
    let wrong = lab.run(&["destroy", ".", "--yes"]).expect_code(3);
    assert!(wrong.stderr.contains("acme.toml"), "{}", wrong.stderr);
}
