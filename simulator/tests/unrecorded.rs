//! Behaviour that no recording shows, from MidoNet's own declarations and from the README beside the recordings.

use midoform_simulator::{Options, Version, start};
use serde_json::{Value as Json, json};

use crate::session::{GHOST, HOST, INTERNAL, Session, V5};

const ALL: [Version; 3] = Version::ALL;

#[tokio::test]
async fn some_resources_refuse_plain_json() {
    for version in ALL {
        let session = Session::with(version).await;
        let zone = session.make("/tunnel_zones", "TunnelZone", json!({ "name": "z", "type": "gre" })).await;
        let hosts = format!("/tunnel_zones/{zone}/hosts");
        let member = json!({ "hostId": HOST, "ipAddress": "10.0.0.1" });
        assert_eq!(session.post(&hosts, "application/json", member.clone()).await.0, 415, "{version}");
        assert_eq!(session.post(&hosts, "GreTunnelZoneHost", member).await.0, 201, "{version}");
        let group = session.named("/port_groups", "PortGroup").await;
        let bindings = format!("/hosts/{HOST}/ports");
        for (path, wanted) in [
            (hosts.clone(), 406),
            (format!("{hosts}/{HOST}"), 406),
            (bindings, 406),
            (format!("/port_groups/{group}"), 406),
            (format!("/port_groups/{group}/ports"), 200),
            ("/port_groups".to_owned(), 200),
            ("/tunnel_zones".to_owned(), 200),
        ] {
            assert_eq!(session.get(&path, "application/json").await.0, wanted, "{version}: {path}");
        }
        assert_eq!(session.get(&hosts, "[GreTunnelZoneHost").await.0, 200, "{version}");
    }
}

#[tokio::test]
async fn a_tenant_s_id_is_a_part_of_a_path_on_1_7() {
    let session = Session::with(Version::V1_7).await;
    for tenant in ["/", "a/b", "", ".", "..", "a\u{1}"] {
        for (path, kind) in [
            ("/routers", "Router"),
            ("/bridges", "Bridge"),
            ("/chains", "Chain"),
            ("/port_groups", "PortGroup"),
        ] {
            let body = json!({ "name": "n", "tenantId": tenant });
            session.responds(&session.post(path, kind, body).await, 500, INTERNAL);
        }
    }
    let router = session.named("/routers", "Router").await;
    let body = json!({ "name": "m", "tenantId": "a/b" });
    assert_eq!(session.put(&format!("/routers/{router}"), "Router", body).await.0, 204);
    let shown = session.get(&format!("/routers/{router}"), "Router").await.1;
    assert_eq!((&shown["name"], &shown["tenantId"]), (&json!("m"), &json!("t")));
}

#[tokio::test]
async fn a_deleted_device_s_id_stays_used_on_5_0_after_a_restart() {
    for version in ALL {
        let folder = tempfile::tempdir().unwrap();
        let options = || Options { version, state_dir: Some(folder.path().to_owned()), ..Options::default() };
        for round in 0..2 {
            let server = start(options()).await.unwrap();
            let session = Session { server, version, client: crate::client() };
            for (path, kind) in [("/routers", "Router"), ("/bridges", "Bridge")] {
                let body = json!({ "id": GHOST, "name": "n", "tenantId": "t" });
                let status = session.post(path, kind, body).await.0;
                assert_eq!(
                    status,
                    if round > 0 && version == Version::V5_0 { 500 } else { 201 },
                    "{version}"
                );
                let deleted = session.delete(&format!("{path}/{GHOST}")).await.0;
                assert_eq!(deleted, if status == 500 && kind == "Bridge" { 404 } else { 204 }, "{version}");
            }
            session.server.shutdown().await;
        }
    }
}

#[tokio::test]
async fn the_lengths_of_names_are_limited() {
    let long = "x".repeat(256);
    for version in ALL {
        let session = Session::with(version).await;
        let first = version == Version::V1_7;
        let new = |name: &str| json!({ "name": name, "tenantId": "t", "type": "gre" });
        for (path, kind, least, most) in [
            ("/routers", "Router", 0, !first),
            ("/bridges", "Bridge", 0, !first),
            ("/chains", "Chain", usize::from(first), true),
            ("/port_groups", "PortGroup", usize::from(first), true),
            ("/ip_addr_groups", "IpAddrGroup", 1, true),
            ("/tunnel_zones", "TunnelZone", 1, true),
        ] {
            let words = format!("size must be between {least} and 255");
            let response = session.post(path, kind, new("")).await;
            match least {
                0 => assert_eq!(response.0, 201, "{version} {path}"),
                _ => session.violates(&response, &[("name", &words)]),
            }
            let response = session.post(path, kind, new(&long)).await;
            match most {
                false => assert_eq!(response.0, 201, "{version} {path}"),
                true => session.violates(&response, &[("name", &words)]),
            }
        }
        let response = session.post("/ip_addr_groups", "IpAddrGroup", json!({})).await;
        session.violates(&response, &[("name", "may not be null")]);
    }
}

#[tokio::test]
async fn a_put_on_a_tunnel_zone_needs_a_new_name() {
    for version in ALL {
        let session = Session::with(version).await;
        let zone = session.make("/tunnel_zones", "TunnelZone", json!({ "name": "z", "type": "gre" })).await;
        let path = format!("/tunnel_zones/{zone}");
        let words = "Tunnel zone name already exists.";
        let twice = session.post("/tunnel_zones", "TunnelZone", json!({ "name": "z", "type": "gre" })).await;
        let same = session.put(&path, "TunnelZone", json!({ "name": "z", "type": "vxlan" })).await;
        let capital =
            session.post("/tunnel_zones", "TunnelZone", json!({ "name": "Z", "type": "gre" })).await;
        let kind = session.post("/tunnel_zones", "TunnelZone", json!({ "name": "y", "type": "moon" })).await;
        match version {
            Version::V1_7 => {
                session.violates(&twice, &[("name", words)]);
                session.violates(&same, &[("name", words)]);
                session.violates(&capital, &[("name", words)]);
                session.violates(&kind, &[("type", "Must be one of [gre, vxlan, vtep].")]);
            }
            _ => {
                session.responds(&twice, 409, words);
                session.responds(&same, 409, words);
                assert_eq!((capital.0, kind.0), (201, 400), "{version}");
            }
        }
        assert_eq!(session.put(&path, "TunnelZone", json!({ "name": "new", "type": "vxlan" })).await.0, 204);
        assert_eq!(session.get(&path, "TunnelZone").await.1["type"], "vxlan", "{version}");
    }
}

#[tokio::test]
async fn members_of_zones_and_groups_have_to_exist() {
    for version in ALL {
        let session = Session::with(version).await;
        let zone = session.make("/tunnel_zones", "TunnelZone", json!({ "name": "z", "type": "gre" })).await;
        let hosts = format!("/tunnel_zones/{zone}/hosts");
        let nobody = session.post(&hosts, "TunnelZoneHost", json!({ "ipAddress": "10.0.0.1" })).await;
        let absent = session.get(&format!("{hosts}/{HOST}"), "TunnelZoneHost").await;
        let unnamed = session.post(&format!("/ports/{GHOST}/link"), "PortLink", json!({})).await;
        match version {
            Version::V1_7 => {
                session.violates(&nobody, &[("hostId", "Host ID is not valid.")]);
                session.responds(&absent, 404, "Tunnel zone member was not found");
                let ends = [("portId", "Port ID is not valid."), ("peerId", "Port ID is not valid.")];
                session.violates(&unnamed, &ends);
            }
            Version::V5_0 => {
                assert_eq!((nobody.0, unnamed.0), (500, 500));
                assert!(
                    nobody.1.as_str().unwrap().contains("java.lang.NullPointerException"),
                    "{}",
                    nobody.1
                );
                session.responds(&absent, 404, "Resource not found");
            }
            Version::V5_8 => {
                assert_eq!(nobody, (500, json!({ "message": null, "code": 500 })));
                assert_eq!(unnamed, nobody);
                session.responds(&absent, 404, "Resource not found");
            }
        }
    }
}

#[tokio::test]
async fn only_5_8_can_change_a_port_group() {
    for version in ALL {
        let session = Session::with(version).await;
        let group = session.named("/port_groups", "PortGroup").await;
        let bridge = session.named("/bridges", "Bridge").await;
        let port =
            session.make(&format!("/bridges/{bridge}/ports"), "Port", json!({ "type": "Bridge" })).await;
        let members = format!("/port_groups/{group}/ports");
        session.make(&members, "PortGroupPort", json!({ "portId": port })).await;
        let path = format!("/port_groups/{group}");
        let response =
            session.put(&path, "PortGroup", json!({ "name": "m", "tenantId": "t", "stateful": true })).await;
        let wanted = match version {
            Version::V1_7 => 405,
            Version::V5_0 => 500,
            Version::V5_8 => 204,
        };
        assert_eq!(response.0, wanted, "{version}");
        if version == Version::V5_8 {
            assert_eq!(session.get(&path, "PortGroup").await.1["name"], "m");
            assert_eq!(session.get(&members, "[PortGroupPort").await.1[0]["portId"], Json::from(port));
            let response = session.put(&format!("/port_groups/{GHOST}"), "PortGroup", json!({})).await;
            session.responds(&response, 404, &format!("There is no PortGroup with ID {GHOST}."));
        }
    }
}

#[tokio::test]
async fn port_groups_can_be_filtered_by_port() {
    for version in ALL {
        let session = Session::with(version).await;
        let group = session.named("/port_groups", "PortGroup").await;
        let bridge = session.named("/bridges", "Bridge").await;
        let port =
            session.make(&format!("/bridges/{bridge}/ports"), "Port", json!({ "type": "Bridge" })).await;
        session
            .make(&format!("/port_groups/{group}/ports"), "PortGroupPort", json!({ "portId": port }))
            .await;
        let count = async |query: &str| {
            let response = session.get(&format!("/port_groups?{query}"), "[PortGroup").await;
            response.1.as_array().map(Vec::len)
        };
        assert_eq!(count(&format!("port_id={port}")).await, Some(1), "{version}");
        assert_eq!(count(&format!("port_id={GHOST}")).await, Some(0), "{version}");
        let other = usize::from(version == Version::V1_7);
        assert_eq!(count(&format!("port_id={port}&tenant_id=other")).await, Some(other), "{version}");
        let response = session.get("/port_groups?port_id=x", "[PortGroup").await;
        assert_eq!(response.0, if version == Version::V1_7 { 404 } else { 500 }, "{version}");
    }
}

#[tokio::test]
async fn addresses_of_address_groups() {
    for version in ALL {
        let session = Session::with(version).await;
        let group = session.make("/ip_addr_groups", "IpAddrGroup", json!({ "name": "g" })).await;
        let path = format!("/ip_addr_groups/{group}/ip_addrs");
        let ghost = format!("/ip_addr_groups/{GHOST}/ip_addrs");
        let address = |version: Json| json!({ "addr": "10.0.0.7", "version": version });
        let kind = "IpAddrGroupAddr";
        let missing = match version {
            Version::V1_7 => format!("IP address group does not exist: {GHOST}"),
            Version::V5_0 => format!("IP addr group not found: {GHOST}"),
            Version::V5_8 => format!("There is no IPAddrGroup with ID {GHOST}."),
        };
        session.responds(&session.post(&ghost, kind, address(4.into())).await, 404, &missing);
        session.responds(&session.get(&ghost, "[IpAddrGroupAddr").await, 404, &missing);
        assert_eq!(session.post(&path, kind, address(5.into())).await.0, 400, "{version}");
        assert_eq!(session.post(&path, kind, json!({ "addr": "10.0.0.7" })).await.0, 400, "{version}");
        let bad = session.post(&path, kind, json!({ "addr": "x", "version": 4 })).await;
        session.responds(&bad, 400, "x is not a valid IP address");
        let made = session.post(&path, kind, address("4".into())).await;
        assert_eq!(made.0, if version == Version::V5_0 { 500 } else { 201 }, "{version}");
        let one = |version: &str, address: &str| {
            format!("/ip_addr_groups/{group}/versions/{version}/ip_addrs/{address}")
        };
        assert_eq!(session.get(&one("4", "10.0.0.7"), kind).await.1["addr"], "10.0.0.7", "{version}");
        let colon = if version == Version::V1_7 { ":" } else { "" };
        let words = format!("The IP address group does not contain the specified address{colon} 10.0.0.8");
        session.responds(&session.get(&one("4", "10.0.0.8"), kind).await, 404, &words);
        session.responds(&session.get(&one("5", "10.0.0.7"), kind).await, 400, "Invalid IP version: 5");
        assert_eq!(session.get(&one("x", "10.0.0.7"), kind).await.0, 404, "{version}");
        assert_eq!(session.delete(&one("4", "10.0.0.7")).await.0, 204, "{version}");
        assert_eq!(session.get(&one("4", "10.0.0.7"), kind).await.0, 404, "{version}");
    }
}

#[tokio::test]
async fn rules_have_the_constraints_of_each_version() {
    for version in ALL {
        let session = Session::with(version).await;
        let first = version == Version::V1_7;
        let chain = session.named("/chains", "Chain").await;
        let path = format!("/chains/{chain}/rules");
        let action = session.post(&path, "Rule", json!({ "type": "rev_snat", "flowAction": "jump" })).await;
        let mac = session.post(&path, "Rule", json!({ "type": "drop", "dlSrc": "no" })).await;
        let range = json!({ "type": "drop", "tpDst": { "start": 9, "end": 1 } });
        let range = session.post(&path, "Rule", range).await;
        let jump = session.post(&path, "Rule", json!({ "type": "jump" })).await;
        let words = "MAC address string must be 6 words of 1 or 2 hex digits joined with 5 ':'";
        if first {
            session.responds(&action, 500, INTERNAL);
            session.responds(&mac, 400, &format!("{words} but was no."));
            assert_eq!((range.0, jump.0), (201, 201));
        } else {
            session.violates(&action, &[("flowAction", "must match \"accept|continue|return\"")]);
            session.violates(&mac, &[("dlSrc", words)]);
            assert_eq!(range.0, 400, "{version}");
            session.violates(&jump, &[("jumpChainId", "may not be null")]);
        }
        let lone = json!({ "type": "drop", "nwSrcLength": 8, "nwProto": 300 });
        let lone = session.make(&path, "Rule", lone).await;
        let shown = session.get(&format!("/rules/{lone}"), "Rule").await.1;
        assert_eq!(shown["nwSrcLength"], 0, "{version}");
        assert_eq!(shown["nwProto"], if first { 44 } else { 300 }, "{version}");
    }
}

#[tokio::test]
async fn a_port_keeps_its_type_and_1_7_has_older_type_names() {
    for version in V5 {
        let session = Session::with(version).await;
        let bridge = session.named("/bridges", "Bridge").await;
        let port =
            session.make(&format!("/bridges/{bridge}/ports"), "Port", json!({ "type": "Bridge" })).await;
        let router = json!({ "type": "Router", "portAddress": "10.0.0.1", "networkAddress": "10.0.0.0", "networkLength": 24 });
        let response = session.put(&format!("/ports/{port}"), "Port", router).await;
        let words = "BridgePort cannot be cast to org.midonet.cluster.rest_api.models.RouterPort";
        assert_eq!(response.0, 500, "{version}");
        let page = response.1.as_str().map_or(response.1["message"].to_string(), str::to_owned);
        assert_eq!(page.contains("Jetty"), version == Version::V5_0, "{page}");
        assert!(page.contains(words), "{page}");
    }
    let session = Session::with(Version::V1_7).await;
    let bridge = session.named("/bridges", "Bridge").await;
    let path = format!("/bridges/{bridge}/ports");
    let older = session.post(&path, "application/json", json!({ "type": "Bridge" })).await;
    session.responds(&older, 400, "Invalid port type.  Only InteriorBridge and ExteriorBridge are accepted.");
    let newer = session.post(&path, "Port", json!({ "type": "ExteriorBridge" })).await;
    session.responds(&newer, 400, "Invalid port type.  Only Bridge type is accepted.");
    assert_eq!(session.post(&path, "application/json", json!({ "type": "ExteriorBridge" })).await.0, 201);
}

#[tokio::test]
async fn a_binding_on_1_7_is_checked_port_first() {
    let session = Session::with(Version::V1_7).await;
    let bridge = session.named("/bridges", "Bridge").await;
    let port = session.make(&format!("/bridges/{bridge}/ports"), "Port", json!({ "type": "Bridge" })).await;
    let path = format!("/hosts/{HOST}/ports");
    let ghost = session.post(&path, "HostInterfacePort", json!({ "portId": GHOST })).await;
    session.violates(&ghost, &[("portId", "Port ID is not valid.")]);
    let bare = session.post(&path, "HostInterfacePort", json!({ "portId": port })).await;
    let zone = ("hostId", "The specified host is not in any tunnel zone.");
    session.violates(&bare, &[zone, ("interfaceName", "may not be null")]);
}

#[tokio::test]
async fn only_the_weight_of_a_host_can_be_changed() {
    for version in ALL {
        let session = Session::with(version).await;
        let path = format!("/hosts/{HOST}");
        let none = session.put(&path, "Host", json!({ "name": "other" })).await;
        session.responds(&none, 400, "Flooding proxy weight must not be null.");
        assert_eq!(
            session.put(&path, "Host", json!({ "name": "other", "floodingProxyWeight": 3 })).await.0,
            200
        );
        let more = json!({ "containerWeight": 9, "floodingProxyWeight": 4 });
        assert_eq!(session.put(&path, "Host", more).await.0, 200);
        let shown = session.get(&path, "Host").await.1;
        assert_eq!(
            (&shown["name"], &shown["floodingProxyWeight"]),
            (&json!("node1"), &json!(4)),
            "{version}"
        );
        if version == Version::V5_8 {
            assert_eq!(shown["containerWeight"], 1);
        }
        // The hosts of 1.7 are alive.
        let wanted = if version == Version::V1_7 { 403 } else { 200 };
        assert_eq!(session.delete(&path).await.0, wanted, "{version}");
    }
}

#[tokio::test]
async fn tenants_and_the_system_state_on_5_x() {
    for version in V5 {
        let session = Session::with(version).await;
        let one = "application/vnd.org.midonet.Tenant-v2+json";
        let shown = session.get("/tenants/acme", one).await;
        assert_eq!((shown.0, &shown.1["name"], &shown.1["enabled"]), (200, &json!("acme"), &json!(true)));
        let many = "application/vnd.org.midonet.collection.Tenant-v2+json";
        assert_eq!(session.get("/tenants", many).await, (200, json!([])), "{version}");
        let words = "Tenants cannot be created, updated or deleted via the REST API.";
        session.responds(&session.delete("/tenants/acme").await, 405, words);
        session.responds(&session.post("/tenants", one, json!({})).await, 405, words);
        assert_eq!(session.post("/tenants", "application/json", json!({})).await.0, 415, "{version}");
        let state = session.get("/system_state", "application/json").await;
        assert_eq!(state.1, json!({ "state": "ACTIVE", "availability": "READWRITE", "writeVersion": "5.0" }));
        assert_eq!(session.get("/system_state", "SystemState").await.0, 406, "{version}");
    }
}

#[tokio::test]
async fn on_5_x_the_body_of_a_port_can_link_it() {
    for version in V5 {
        let session = Session::with(version).await;
        let bridge = session.named("/bridges", "Bridge").await;
        let path = format!("/bridges/{bridge}/ports");
        let new = async |body: Json| session.make(&path, "Port", body).await;
        let first = new(json!({ "type": "Bridge" })).await;
        let second = new(json!({ "type": "Bridge", "peerId": first })).await;
        let third = new(json!({ "type": "Bridge" })).await;
        let peer = async |id: &str| session.get(&format!("/ports/{id}"), "Port").await.1["peerId"].clone();
        assert_eq!(peer(&first).await, Json::from(second.as_str()), "{version}");
        let taken = session
            .put(&format!("/ports/{third}"), "Port", json!({ "type": "Bridge", "peerId": first }))
            .await;
        session.responds(
            &taken,
            409,
            &format!(
                "Operation failed because the Port with ID {first} already references the Port with ID {second} via the \
                 field peer_id. This field can accommodate only one reference."
            ),
        );
        // A linked port keeps its peer; a free port gets the one in the body.
        let fourth = new(json!({ "type": "Bridge" })).await;
        let body = json!({ "type": "Bridge", "peerId": fourth });
        assert_eq!(session.put(&format!("/ports/{first}"), "Port", body.clone()).await.0, 204);
        assert_eq!(peer(&first).await, Json::from(second.as_str()), "{version}");
        assert_eq!(session.put(&format!("/ports/{third}"), "Port", body).await.0, 204);
        assert_eq!(peer(&fourth).await, Json::from(third.as_str()), "{version}");
        let ghost = session
            .put(&format!("/ports/{second}"), "Port", json!({ "type": "Bridge", "hostId": GHOST }))
            .await;
        session.responds(&ghost, 404, &format!("There is no Host with ID {GHOST}."));
    }
}
