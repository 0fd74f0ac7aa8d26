//! Load balancers, BGP, DHCP and VLANs: what can hang on a router or a bridge. No recording shows them; the tests follow
//! MidoNet's source.

use midoform_simulator::{Options, Version, start};
use serde_json::{Value as Json, json};

use crate::session::{GHOST, INTERNAL, Session, V5};

/// Returns the message of 5.x about an object that does not exist.
fn no(class: &str) -> String {
    format!("There is no {class} with ID {GHOST}.")
}

/// Returns the number of objects in a list.
async fn count(session: &Session, path: &str, kind: &str) -> usize {
    let (status, list) = session.get(path, kind).await;
    assert_eq!(status, 200, "{}: {path}: {list}", session.version);
    list.as_array().unwrap().len()
}

/// Sets the load balancer of a router.
async fn attach(session: &Session, router: &str, balancer: Json) -> (u16, Json) {
    let body = json!({ "name": "n", "tenantId": "t", "loadBalancerId": balancer });
    session.put(&format!("/routers/{router}"), "Router", body).await
}

/// Returns a body for a router's port.
fn router_port() -> Json {
    json!({ "type": "Router", "networkAddress": "10.0.0.0", "networkLength": 24, "portAddress": "10.0.0.1" })
}

#[tokio::test]
async fn a_router_names_its_load_balancer() {
    for version in Version::ALL {
        let session = Session::with(version).await;
        let router = session.named("/routers", "Router").await;
        let balancer = session.make("/load_balancers", "LoadBalancer", json!({})).await;
        let path = format!("/load_balancers/{balancer}");
        let (status, shown) = session.get(&path, "LoadBalancer").await;
        assert_eq!((status, &shown["routerId"], &shown["adminStateUp"]), (200, &Json::Null, &json!(true)));

        assert_eq!(attach(&session, &router, json!(balancer)).await.0, 204, "{version}");
        let named = session.get(&format!("/routers/{router}"), "Router").await.1;
        assert_eq!(named["loadBalancerId"], json!(balancer), "{version}");
        let list = session.get("/load_balancers", "[LoadBalancer").await.1;
        assert_eq!(list[0]["routerId"], json!(router), "{version}");
        assert!(list[0]["router"].as_str().unwrap().ends_with(&format!("/routers/{router}")), "{version}");

        // The load balancer itself can only be switched, by a body with its router.
        let off = json!({ "routerId": router, "adminStateUp": false });
        assert_eq!(session.put(&path, "LoadBalancer", off).await.0, 204, "{version}");
        let moved = session.put(&path, "LoadBalancer", json!({ "adminStateUp": true })).await;
        assert_eq!(moved.0, 400, "{version}");
        let shown = session.get(&path, "LoadBalancer").await.1;
        assert_eq!(
            (&shown["routerId"], &shown["adminStateUp"]),
            (&json!(router), &json!(false)),
            "{version}"
        );

        assert_eq!(attach(&session, &router, Json::Null).await.0, 204, "{version}");
        assert_eq!(session.get(&path, "LoadBalancer").await.1["routerId"], Json::Null, "{version}");

        // A new router can name one as well; and it loses one that is deleted.
        let body = json!({ "name": "n", "tenantId": "t", "loadBalancerId": balancer });
        let second = session.make("/routers", "Router", body).await;
        assert_eq!(session.get(&path, "LoadBalancer").await.1["routerId"], json!(second), "{version}");
        assert_eq!(session.delete(&path).await.0, 204, "{version}");
        let named = session.get(&format!("/routers/{second}"), "Router").await.1;
        assert_eq!(named["loadBalancerId"], Json::Null, "{version}");
        assert_eq!(session.delete(&path).await.0, 204, "{version}: it is gone already");
    }
}

#[tokio::test]
async fn a_wrong_load_balancer_is_refused() {
    for version in Version::ALL {
        let session = Session::with(version).await;
        let first = version == Version::V1_7;
        let router = session.named("/routers", "Router").await;
        let other = session.named("/routers", "Router").await;
        let balancer = session.make("/load_balancers", "LoadBalancer", json!({})).await;
        let path = "/load_balancers";
        let ghost = format!("{path}/{GHOST}");
        assert_eq!(session.get(path, "[LoadBalancers").await.0, 406, "{version}");
        assert_eq!(session.get(path, "application/json").await.0, 200, "{version}");
        let set = session.post(path, "LoadBalancer", json!({ "routerId": router })).await;
        assert_eq!(set.0, 400, "{version}");
        let again = session.post(path, "LoadBalancer", json!({ "id": balancer })).await;
        let kind = if first { "load balancer" } else { "LoadBalancer" };
        session.responds(&again, 409, &format!("A(n) {kind} with ID {balancer} already exists."));
        let missing = session.get(&ghost, "LoadBalancer").await;
        let changed = session.put(&ghost, "LoadBalancer", json!({})).await;
        let named = attach(&session, &router, json!(GHOST)).await;
        if first {
            session.responds(&missing, 404, &format!("No load balancer with ID {GHOST} exists."));
            assert_eq!(changed.0, 404);
            session.responds(&named, 500, INTERNAL);
        } else {
            session.responds(&missing, 404, &no("LoadBalancer"));
            session.responds(&changed, 404, &no("LoadBalancer"));
            session.responds(&named, 404, &no("LoadBalancer"));
        }
        // 5.x gives a load balancer to one router; on 1.7 it belongs to the last one.
        assert_eq!(attach(&session, &router, json!(balancer)).await.0, 204, "{version}");
        let taken = attach(&session, &other, json!(balancer)).await;
        let holder = session.get(&format!("{path}/{balancer}"), "LoadBalancer").await.1["routerId"].clone();
        if first {
            assert_eq!((taken.0, holder), (204, json!(other)));
            assert_eq!(session.delete(&format!("{path}/{balancer}")).await.0, 204);
            session.responds(&session.delete(&format!("/routers/{router}")).await, 500, INTERNAL);
            assert_eq!(session.delete(&format!("/routers/{other}")).await.0, 204);
        } else {
            assert_eq!((taken.0, holder), (409, json!(router)), "{version}");
        }
    }
}

#[tokio::test]
async fn a_load_balancer_and_the_deletion_of_its_router() {
    for version in Version::ALL {
        let session = Session::with(version).await;
        let router = session.named("/routers", "Router").await;
        let balancer = session.make("/load_balancers", "LoadBalancer", json!({})).await;
        assert_eq!(attach(&session, &router, json!(balancer)).await.0, 204, "{version}");
        let deleted = session.delete(&format!("/routers/{router}")).await;
        let (status, shown) = session.get(&format!("/load_balancers/{balancer}"), "LoadBalancer").await;
        match version {
            Version::V1_7 => assert_eq!((deleted.0, status, &shown["routerId"]), (204, 200, &Json::Null)),
            Version::V5_0 => assert_eq!((deleted.0, status), (204, 404)),
            Version::V5_8 => {
                session.responds(
                    &deleted,
                    409,
                    &format!(
                        "Cannot delete the Router with ID {balancer} because it is still referenced by the LoadBalancer \
                         with ID {balancer}."
                    ),
                );
                assert_eq!((status, &shown["routerId"]), (200, &json!(router)));
                assert_eq!(attach(&session, &router, Json::Null).await.0, 204);
                assert_eq!(session.delete(&format!("/routers/{router}")).await.0, 204);
            }
        }
    }
}

#[tokio::test]
async fn a_router_of_5_x_has_bgp_peers_and_networks() {
    for version in V5 {
        let session = Session::with(version).await;
        let router = session.make("/routers", "Router", json!({ "name": "n", "asNumber": 64512 })).await;
        assert_eq!(session.get(&format!("/routers/{router}"), "Router").await.1["asNumber"], 64512);
        let (peers, networks) =
            (format!("/routers/{router}/bgp_peers"), format!("/routers/{router}/bgp_networks"));
        let peer = json!({ "asNumber": 64513, "address": "192.0.2.1" });
        let network = json!({ "subnetAddress": "198.51.100.0", "subnetLength": 24 });
        let first = session.make(&peers, "BgpPeer", peer.clone()).await;
        let advertised = session.make(&networks, "BgpNetwork", network).await;
        let list = session.get(&peers, "[BgpPeer").await.1;
        assert_eq!(
            (&list[0]["id"], &list[0]["asNumber"], &list[0]["address"], &list[0]["keepAlive"]),
            (&json!(first), &json!(64513), &json!("192.0.2.1"), &Json::Null)
        );
        assert!(list[0]["router"].as_str().unwrap().ends_with(&format!("/routers/{router}")));
        let list = session.get(&networks, "[BgpNetwork").await.1;
        assert_eq!(
            (&list[0]["subnetAddress"], &list[0]["subnetLength"]),
            (&json!("198.51.100.0"), &json!(24))
        );

        // Only 5.8 refuses a second peer with the same address and number.
        let again = session.post(&peers, "BgpPeer", peer).await;
        match version {
            Version::V5_8 => session.responds(
                &again,
                400,
                "A BGP peer with address 192.0.2.1 and AS number 64513 already exists.",
            ),
            _ => assert_eq!(again.0, 201, "{version}"),
        }
        let path = format!("/bgp_peers/{first}");
        let changed = json!({ "asNumber": 64514, "address": "192.0.2.2", "holdTime": 9 });
        assert_eq!(session.put(&path, "BgpPeer", changed).await.0, 204, "{version}");
        let shown = session.get(&path, "BgpPeer").await.1;
        assert_eq!((&shown["asNumber"], &shown["holdTime"]), (&json!(64514), &json!(9)), "{version}");
        assert!(shown["router"].is_string(), "{version}");

        assert_eq!(session.delete(&path).await.0, 204, "{version}");
        assert_eq!(session.get(&path, "BgpPeer").await.0, 404, "{version}");
        let second = session.make(&peers, "BgpPeer", json!({ "asNumber": 1, "address": "192.0.2.3" })).await;
        assert_eq!(session.delete(&format!("/routers/{router}")).await.0, 204, "{version}");
        for (path, kind) in [
            (format!("/bgp_peers/{second}"), "BgpPeer"),
            (format!("/bgp_networks/{advertised}"), "BgpNetwork"),
        ] {
            assert_eq!(session.get(&path, kind).await.0, 404, "{version}: {path}");
        }
    }
}

#[tokio::test]
async fn wrong_bgp_peers_and_networks_are_refused() {
    for version in V5 {
        let session = Session::with(version).await;
        let router = session.named("/routers", "Router").await;
        let peers = format!("/routers/{router}/bgp_peers");
        let networks = format!("/routers/{router}/bgp_networks");
        assert_eq!(session.get(&peers, "[BgpNetwork").await.0, 406, "{version}");
        assert_eq!(session.get(&networks, "application/json").await.0, 200, "{version}");
        for (path, kind, body) in [
            ("bgp_peers", "BgpPeer", json!({ "asNumber": 1, "address": "192.0.2.1" })),
            ("bgp_networks", "BgpNetwork", json!({ "subnetAddress": "192.0.2.0", "subnetLength": 24 })),
        ] {
            let ghost = format!("/routers/{GHOST}/{path}");
            session.responds(&session.get(&ghost, &format!("[{kind}")).await, 404, &no("Router"));
            session.responds(&session.post(&ghost, kind, body).await, 404, &no("Router"));
            session.responds(&session.get(&format!("/{path}/{GHOST}"), kind).await, 404, &no(kind));
            assert_eq!(session.delete(&format!("/{path}/{GHOST}")).await.0, 204, "{version}");
        }
        let none = session.post(&peers, "BgpPeer", json!({ "address": "192.0.2.1", "keepAlive": 4 })).await;
        session.violates(
            &none,
            &[
                ("asNumber", "must be greater than or equal to 1"),
                ("keepAlive", "must be greater than or equal to 5"),
            ],
        );
        let long = json!({ "subnetAddress": "192.0.2.0", "subnetLength": 33 });
        let long = session.post(&networks, "BgpNetwork", long).await;
        session.violates(&long, &[("subnetLength", "must be less than or equal to 32")]);
        // These are listed below their router only, and a network can't be changed.
        let wanted = if version == Version::V5_0 { 500 } else { 405 };
        assert_eq!(session.get("/bgp_peers", "application/json").await.0, wanted, "{version}");
        let changed = session.put(&format!("/bgp_networks/{GHOST}"), "BgpNetwork", json!({})).await;
        assert_eq!(changed.0, wanted, "{version}");
        // The sessions of ports are those of 1.7.
        assert_eq!(session.get(&format!("/ports/{GHOST}/bgps"), "[Bgp").await.0, 404, "{version}");
    }
}

#[tokio::test]
async fn a_router_s_port_of_1_7_has_bgp_sessions() {
    let session = Session::with(Version::V1_7).await;
    let router = session.named("/routers", "Router").await;
    let bridge = session.named("/bridges", "Bridge").await;
    let port = session.make(&format!("/routers/{router}/ports"), "Port", router_port()).await;
    let other = session.make(&format!("/bridges/{bridge}/ports"), "Port", json!({ "type": "Bridge" })).await;
    let path = format!("/ports/{port}/bgps");
    let body = json!({ "id": GHOST, "localAS": 64512, "peerAddr": "192.0.2.1", "peerAS": 64513 });
    let first = session.make(&path, "Bgp", body.clone()).await;
    assert_ne!(first, GHOST, "1.7 ignores the id that a client offers");
    let list = session.get(&path, "[Bgp").await.1;
    assert_eq!(
        (&list[0]["id"], &list[0]["localAS"], &list[0]["peerAddr"], &list[0]["peerAS"], &list[0]["portId"]),
        (&json!(first), &json!(64512), &json!("192.0.2.1"), &json!(64513), &json!(port))
    );
    assert_eq!(session.get(&format!("/bgps/{first}"), "Bgp").await.1, list[0]);
    assert_eq!(session.get(&path, "[BgpPeer").await.0, 406);
    assert_eq!(session.get("/bgps", "application/json").await.0, 405);
    assert_eq!(session.get(&format!("/routers/{router}/bgp_peers"), "[BgpPeer").await.0, 404);
    for wrong in [format!("/ports/{GHOST}/bgps"), format!("/ports/{other}/bgps")] {
        session.responds(&session.get(&wrong, "[Bgp").await, 500, INTERNAL);
        session.responds(&session.post(&wrong, "Bgp", body.clone()).await, 500, INTERNAL);
    }
    session.responds(&session.post(&path, "Bgp", json!({ "peerAddr": "x" })).await, 500, INTERNAL);

    assert_eq!(session.delete(&format!("/bgps/{first}")).await.0, 204);
    assert_eq!(count(&session, &path, "[Bgp").await, 0);
    session.responds(&session.get(&format!("/bgps/{first}"), "Bgp").await, 500, INTERNAL);
    session.responds(&session.delete(&format!("/bgps/{first}")).await, 500, INTERNAL);
    // It goes with its port, and with its port's router.
    for parent in [format!("/ports/{port}"), format!("/routers/{router}")] {
        let port = session.make(&format!("/routers/{router}/ports"), "Port", router_port()).await;
        let parent = if parent.starts_with("/ports") { format!("/ports/{port}") } else { parent };
        let made = session.make(&format!("/ports/{port}/bgps"), "Bgp", body.clone()).await;
        assert_eq!(session.get(&format!("/bgps/{made}"), "Bgp").await.0, 200);
        assert_eq!(session.delete(&parent).await.0, 204, "{parent}");
        assert_eq!(session.get(&format!("/bgps/{made}"), "Bgp").await.0, 500, "{parent}");
    }
}

#[tokio::test]
async fn a_bridge_has_dhcp_subnets() {
    for version in Version::ALL {
        let session = Session::with(version).await;
        let first = version == Version::V1_7;
        let bridge = session.named("/bridges", "Bridge").await;
        let path = format!("/bridges/{bridge}/dhcp");
        let route =
            json!({ "destinationPrefix": "10.9.0.0", "destinationLength": 16, "gatewayAddr": "10.0.0.1" });
        let body = json!({
            "subnetPrefix": "10.0.0.0", "subnetLength": 24, "defaultGateway": "10.0.0.1", "interfaceMTU": 1450,
            "dnsServerAddrs": ["192.0.2.53"], "opt121Routes": [route],
        });
        let name = session.make(&path, "DhcpSubnet", body.clone()).await;
        assert_eq!(name, "10.0.0.0_24", "{version}");
        let list = session.get(&path, "[DhcpSubnet").await.1;
        for field in ["subnetPrefix", "subnetLength", "interfaceMTU", "dnsServerAddrs", "opt121Routes"] {
            assert_eq!(list[0][field], body[field], "{version}: {field}");
        }
        let server = if first { json!("10.0.0.1") } else { Json::Null };
        assert_eq!((&list[0]["serverAddr"], &list[0]["enabled"]), (&server, &json!(true)), "{version}");
        assert!(list[0]["id"].is_null() && list[0]["bridgeId"].is_null(), "{version}");
        assert_eq!(session.get(&format!("{path}/{name}"), "DhcpSubnet").await.1, list[0], "{version}");
        assert!(list[0]["uri"].as_str().unwrap().ends_with(&format!("{path}/{name}")), "{version}");

        assert_eq!(session.delete(&format!("{path}/{name}")).await.0, 204, "{version}");
        assert_eq!(count(&session, &path, "[DhcpSubnet").await, 0, "{version}");
        session.make(&path, "DhcpSubnet", body).await;
        assert_eq!(session.delete(&format!("/bridges/{bridge}")).await.0, 204, "{version}");
        let gone = session.get(&path, "[DhcpSubnet").await;
        assert_eq!(gone.0, if first { 500 } else { 404 }, "{version}");
    }
}

#[tokio::test]
async fn wrong_dhcp_subnets_are_refused() {
    for version in Version::ALL {
        let session = Session::with(version).await;
        let first = version == Version::V1_7;
        let bridge = session.named("/bridges", "Bridge").await;
        let path = format!("/bridges/{bridge}/dhcp");
        let ghost = format!("/bridges/{GHOST}/dhcp");
        let body = json!({ "subnetPrefix": "10.0.0.0", "subnetLength": 24 });
        let older = "application/vnd.org.midonet.collection.DhcpSubnet-v1+json";
        session.make(&path, "DhcpSubnet", body.clone()).await;
        let (status, list) = session.get(&path, older).await;
        assert_eq!(status, if first { 200 } else { 406 }, "{version}");
        assert!(!first || list[0].get("enabled").is_none(), "the older form has no such field");
        assert_eq!(session.get(&path, "application/json").await.0, 406, "{version}");
        assert_eq!(session.get(&path, "[DhcpV6Subnet").await.0, 406, "{version}");

        let again = session.post(&path, "DhcpSubnet", body.clone()).await;
        let no_bridge = session.post(&ghost, "DhcpSubnet", body).await;
        let no_list = session.get(&ghost, "[DhcpSubnet").await;
        let absent = format!("{path}/10.0.1.0_24");
        let no_subnet = session.delete(&absent).await;
        assert_eq!(session.get(&absent, "DhcpSubnet").await.0, 404, "{version}");
        let words = match first {
            true => "is an invalid IP format",
            false => "is an invalid IPv4 format",
        };
        if first {
            for response in [&again, &no_bridge, &no_list, &no_subnet] {
                session.responds(response, 500, INTERNAL);
            }
        } else {
            assert_eq!(again.0, if version == Version::V5_8 { 409 } else { 201 }, "{version}");
            session.responds(&no_bridge, 404, &no("Network"));
            session.responds(&no_list, 404, &no("Network"));
            let message = format!("Network {bridge} does not have a subnet with address 10.0.1.0_24.");
            session.responds(&no_subnet, 404, &message);
            session.responds(&session.delete(&format!("{ghost}/10.0.0.0_24")).await, 404, &no("Network"));
        }
        let bad = json!({ "subnetPrefix": "10.0.0", "subnetLength": 33, "serverAddr": "x" });
        let bad = session.post(&path, "DhcpSubnet", bad).await;
        let length = ("subnetLength", "must be less than or equal to 32");
        session.violates(&bad, &[("subnetPrefix", words), length, ("serverAddr", words)]);
        let none = session.post(&path, "DhcpSubnet", json!({})).await;
        session.violates(&none, &[("subnetPrefix", "may not be null")]);
    }
}

#[tokio::test]
async fn a_bridge_has_dhcp_subnets_for_ipv6() {
    for version in Version::ALL {
        let session = Session::with(version).await;
        let bridge = session.named("/bridges", "Bridge").await;
        let path = format!("/bridges/{bridge}/dhcpV6");
        assert_eq!(count(&session, &path, "[DhcpV6Subnet").await, 0, "{version}");
        assert_eq!(session.get(&path, "[DhcpSubnet").await.0, 406, "{version}");
        let body = json!({ "prefix": "fd00:0:0:0:0:0:0:0", "prefixLength": 64 });
        let name = session.make(&path, "DhcpV6Subnet", body.clone()).await;
        let list = session.get(&path, "[DhcpV6Subnet").await.1;
        assert_eq!(
            (&list[0]["prefix"], &list[0]["prefixLength"]),
            (&body["prefix"], &json!(64)),
            "{version}"
        );
        assert_eq!(session.get(&format!("{path}/{name}"), "DhcpV6Subnet").await.1, list[0], "{version}");
        let bad = session.post(&path, "DhcpV6Subnet", json!({ "prefix": "10.0.0.0" })).await;
        assert_eq!(bad.0, 400, "{version}");
        assert_eq!(session.delete(&format!("{path}/{name}")).await.0, 204, "{version}");
        assert_eq!(count(&session, &path, "[DhcpV6Subnet").await, 0, "{version}");
        session.make(&path, "DhcpV6Subnet", body).await;
        assert_eq!(session.delete(&format!("/bridges/{bridge}")).await.0, 204, "{version}");
    }
}

#[tokio::test]
async fn a_bridge_s_port_can_have_a_vlan() {
    for version in Version::ALL {
        let session = Session::with(version).await;
        let (trunk, access) =
            (session.named("/bridges", "Bridge").await, session.named("/bridges", "Bridge").await);
        let tagged = json!({ "type": "Bridge", "vlanId": 17 });
        let tagged = session.make(&format!("/bridges/{trunk}/ports"), "Port", tagged).await;
        let plain = json!({ "type": "Bridge" });
        let plain = session.make(&format!("/bridges/{access}/ports"), "Port", plain).await;
        let link =
            session.post(&format!("/ports/{tagged}/link"), "PortLink", json!({ "peerId": plain })).await;
        assert_eq!(link.0, 201, "{version}: {}", link.1);
        let shown = session.get(&format!("/ports/{tagged}"), "Port").await.1;
        assert_eq!((&shown["vlanId"], &shown["peerId"]), (&json!(17), &json!(plain)), "{version}");
        let peer = session.get(&format!("/ports/{plain}"), "Port").await.1;
        let none = if version == Version::V1_7 { Json::Null } else { json!(0) };
        assert_eq!((&peer["vlanId"], &peer["peerId"]), (&none, &json!(tagged)), "{version}");
        assert_eq!(count(&session, &format!("/bridges/{trunk}/peer_ports"), "[Port").await, 1, "{version}");

        // Of two bridges' ports on 1.7, exactly one has a VLAN.
        let pair = [&trunk, &access].map(|bridge| format!("/bridges/{bridge}/ports"));
        for vlan in [Json::Null, json!(18)] {
            let body = json!({ "type": "Bridge", "vlanId": vlan });
            let one = session.make(&pair[0], "Port", body.clone()).await;
            let two = session.make(&pair[1], "Port", body).await;
            let path = format!("/ports/{one}/link");
            let link = session.post(&path, "PortLink", json!({ "peerId": two })).await;
            assert_eq!(link.0, if version == Version::V1_7 { 400 } else { 201 }, "{version}: {}", link.1);
        }
    }
}

#[tokio::test]
async fn what_hangs_on_devices_is_there_after_a_restart() {
    for version in Version::ALL {
        let folder = tempfile::tempdir().unwrap();
        let open = async || {
            let state_dir = Some(folder.path().to_owned());
            let server = start(Options { version, state_dir, ..Options::default() }).await.unwrap();
            Session { server, version, client: crate::client() }
        };
        let session = open().await;
        let router = session.named("/routers", "Router").await;
        let bridge = session.named("/bridges", "Bridge").await;
        let port = session.make(&format!("/routers/{router}/ports"), "Port", router_port()).await;
        let balancer = session.make("/load_balancers", "LoadBalancer", json!({})).await;
        assert_eq!(attach(&session, &router, json!(balancer)).await.0, 204, "{version}");
        let peer = json!({ "asNumber": 1, "address": "192.0.2.1", "peerAddr": "192.0.2.1" });
        let bgp = match version {
            Version::V1_7 => (format!("/ports/{port}/bgps"), "Bgp"),
            _ => (format!("/routers/{router}/bgp_peers"), "BgpPeer"),
        };
        let dhcp = (format!("/bridges/{bridge}/dhcp"), "DhcpSubnet");
        let subnet =
            json!({ "subnetPrefix": "10.0.0.0", "subnetLength": 24, "dnsServerAddrs": ["192.0.2.53"] });
        session.make(&bgp.0, bgp.1, peer).await;
        session.make(&dhcp.0, dhcp.1, subnet).await;
        let lists = [("/load_balancers".to_owned(), "LoadBalancer"), bgp, dhcp];
        let mut shown = Vec::new();
        for (path, kind) in &lists {
            shown.push(session.get(path, &format!("[{kind}")).await.1);
        }
        let before = session.server.address().to_string();
        session.server.shutdown().await;
        let session = open().await;
        let now = session.server.address().to_string();
        for ((path, kind), shown) in lists.iter().zip(shown) {
            let read = session.get(path, &format!("[{kind}")).await.1.to_string().replace(&now, &before);
            assert_eq!(read, shown.to_string(), "{version}: {path}");
            assert_eq!(shown.as_array().unwrap().len(), 1, "{version}: {path}");
        }
        session.server.shutdown().await;
    }
}
