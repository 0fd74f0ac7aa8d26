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
