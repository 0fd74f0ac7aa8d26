//! Many clients send valid and invalid requests at the same time, some with nonsensical bodies. In whatever order they
//! are executed, no reference dangles afterwards, and the state on disk equals the state in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use midoform_simulator::{Options, Server, Version, start};
use serde_json::{Value as Json, json};
use uuid::Uuid;

const HOST: Uuid = Uuid::from_u128(0x1111_1111_2222_3333_4444_5555_5555_5555);

/// Pseudo-random numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }
}

/// Ids of created objects, by kind; the objects may be deleted by now.
type Known = Arc<Mutex<BTreeMap<&'static str, Vec<String>>>>;

struct Client {
    base: String,
    version: Version,
    client: reqwest::Client,
    known: Known,
    /// 1.7 loses one of two concurrent changes of a port's record, so the clients make these one at a time. On 5.x no
    /// client holds it alone.
    turn: Arc<tokio::sync::RwLock<()>>,
    dice: Dice,
    /// True to replace or remove some fields of bodies.
    wild: bool,
}

/// Returns values that are valid for few fields, or for none.
fn junk() -> Vec<Json> {
    let numbers = [0, 1, -1, 33, 70_000, i64::from(i32::MAX) + 1, i64::MAX].map(Json::from);
    let texts =
        ["", "x", "true", "-3", "10.0.0.1", "300.1.1.1", "::1", "Router", "accept", "vxlan", "\u{0}\u{e9}"];
    let id = "11111111-2222-3333-4444-555555555555";
    let others =
        [json!(null), json!(true), json!(2.5), json!(1e40), json!([]), json!({}), json!([null]), json!([id])];
    let more =
        [json!(id), json!({ "start": 5, "end": 1 }), json!({ "start": 1 }), json!([{ "addressFrom": "x" }])];
    numbers.into_iter().chain(texts.map(Json::from)).chain(others).chain(more).collect()
}

/// Returns true for the crashes that the real servers have.
fn is_known_crash(version: Version, text: &str) -> bool {
    let known: &[&str] = match version {
        Version::V1_7 => &["An internal server error has occurred, please try again."],
        _ => &[
            "java.lang.NullPointerException",
            "java.lang.IllegalArgumentException: URI parameter is null",
            "is not assignable to org.midonet.cluster.rest_api.models",
            "cannot be cast to org.midonet.cluster.rest_api.models",
            "handle resource Forward",
            "\"message\":null",
        ],
    };
    known.iter().any(|known| text.contains(known))
}

/// Returns true if a request writes the record of a port.
fn writes_a_port(method: &str, path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["ports", _] => method == "PUT",
        ["ports", _, "link"] | ["hosts" | "port_groups", _, "ports", ..] => true,
        _ => false,
    }
}

impl Client {
    /// Returns a body, with some fields replaced if the client is wild.
    fn disturbed(&mut self, mut body: Json) -> Json {
        let Some(map) = body.as_object_mut().filter(|_| self.wild) else { return body };
        let mut junk = junk();
        let mut any = |dice: &mut Dice| junk.swap_remove(dice.below(junk.len()));
        // The weight marks automatic routes; 1.7 does not check the peer.
        let left = |name: &str| name == "weight" || (self.version == Version::V1_7 && name == "peerId");
        let names: Vec<String> = map.keys().filter(|name| !left(name)).cloned().collect();
        for name in names {
            match self.dice.below(24) {
                0 => drop(map.remove(&name)),
                1 | 2 => drop(map.insert(name, any(&mut self.dice))),
                _ => {}
            }
        }
        let foreign =
            ["vlanId", "uri", "stateful", "properties", "inboundMirrorIds", "qosPolicyId", "fragmentPolicy"];
        if self.dice.below(6) == 0 {
            let name = foreign[self.dice.below(foreign.len())];
            map.insert(name.to_owned(), any(&mut self.dice));
        }
        body
    }

    fn any(&mut self, kind: &str) -> String {
        let known = self.known.lock().unwrap();
        let list = known.get(kind).map(Vec::as_slice).unwrap_or_default();
        // Sometimes an id that never existed.
        let at = self.dice.below(list.len() + 1);
        list.get(at).cloned().unwrap_or_else(|| Uuid::from_u128(7).to_string())
    }

    async fn send(&mut self, method: &str, path: &str, body: Json) -> (u16, String) {
        let body = self.disturbed(body);
        let turn = Arc::clone(&self.turn);
        let alone = self.version == Version::V1_7 && writes_a_port(method, path);
        let (_together, _alone) = match alone {
            true => (None, Some(turn.write().await)),
            false => (Some(turn.read().await), None),
        };
        let request = self.client.request(method.parse().unwrap(), format!("{}{path}", self.base));
        let answer = request
            .header("Content-Type", crate::body_type(self.version, path))
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        let location = answer.headers().get("location").map(|place| place.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        assert!(
            status < 500 || (status == 500 && is_known_crash(self.version, &text)),
            "{}: {method} {path} {body}: {text}",
            self.version
        );
        (status, location.unwrap_or_default())
    }

    async fn add_host_to_zone(&mut self) {
        let (_, place) = self.send("POST", "/tunnel_zones", json!({ "name": "z", "type": "gre" })).await;
        let path = format!("/tunnel_zones/{}/hosts", place.rsplit('/').next().unwrap());
        let (status, _) = self.send("POST", &path, json!({ "hostId": HOST, "ipAddress": "10.0.0.1" })).await;
        assert_eq!(status, 201, "{}", self.version);
    }

    async fn make(&mut self, kind: &'static str, path: &str, body: Json) {
        let (status, location) = self.send("POST", path, body).await;
        if status == 201 {
            let id = location.rsplit('/').next().unwrap_or_default().to_owned();
            self.known.lock().unwrap().entry(kind).or_default().push(id);
        }
    }

    #[allow(clippy::too_many_lines, reason = "one line for each thing that can be done")]
    async fn act(&mut self) {
        let number = self.dice.below(1000);
        let (chain, router, bridge) = (self.any("chains"), self.any("routers"), self.any("bridges"));
        let (port, peer, group) = (self.any("ports"), self.any("ports"), self.any("port_groups"));
        let named = json!({ "name": format!("n{number}"), "tenantId": "t" });
        let filtered = json!({ "name": "f", "tenantId": "t", "inboundFilterId": chain });
        let address = format!("10.0.{}.{}", number % 200, number % 250 + 1);
        let router_port = json!({
            "type": "Router", "networkAddress": "10.0.0.0", "networkLength": 16, "portAddress": address,
        });
        let route = |kind: &str| {
            json!({
                "type": kind, "nextHopPort": port, "weight": 1, "srcNetworkAddr": "0.0.0.0", "srcNetworkLength": 0,
                "dstNetworkAddr": "10.9.0.0", "dstNetworkLength": 16,
            })
        };
        match self.dice.below(30) {
            24 => {
                let target =
                    json!({ "addressFrom": address, "addressTo": "10.0.0.9", "portFrom": 1, "portTo": 100 });
                let nat = json!({
                    "type": "snat", "flowAction": "accept", "natTargets": [target], "position": 1, "nwProto": 6,
                    "nwSrcAddress": "10.0.0.0", "nwSrcLength": 8, "tpDst": { "start": 1, "end": 9 },
                    "inPorts": [port], "portGroup": group, "dlSrc": "02:00:00:00:00:01", "dlType": 2048,
                });
                self.make("rules", &format!("/chains/{chain}/rules"), nat).await;
            }
            25 => drop(self.send("PUT", &format!("/routers/{router}"), filtered).await),
            26 => {
                let body = json!({
                    "type": "Bridge", "adminStateUp": false, "inboundFilterId": chain, "peerId": peer, "hostId": HOST,
                });
                drop(self.send("PUT", &format!("/ports/{port}"), body).await);
            }
            27 => {
                let body = json!({ "name": format!("z{number}"), "type": "vxlan" });
                drop(self.send("POST", "/tunnel_zones", body).await);
            }
            28 => {
                let body = json!({ "floodingProxyWeight": number });
                drop(self.send("PUT", &format!("/hosts/{HOST}"), body).await);
            }
            29 => drop(self.send("PUT", &format!("/port_groups/{group}"), named).await),
            0 => self.make("chains", "/chains", named).await,
            1 => self.make("routers", "/routers", filtered).await,
            2 => self.make("bridges", "/bridges", filtered).await,
            3 => self.make("port_groups", "/port_groups", named).await,
            4 | 5 => {
                self.make("ports", &format!("/bridges/{bridge}/ports"), json!({ "type": "Bridge" })).await
            }
            6 | 7 => self.make("ports", &format!("/routers/{router}/ports"), router_port).await,
            8 => {
                self.make(
                    "rules",
                    &format!("/chains/{chain}/rules"),
                    json!({ "type": "accept", "position": 1 }),
                )
                .await
            }
            9 => {
                let to = self.any("chains");
                let jump = json!({ "type": "jump", "jumpChainId": to, "jumpChainName": "x", "position": 1 });
                self.make("rules", &format!("/chains/{chain}/rules"), jump).await;
            }
            10 => self.make("routes", &format!("/routers/{router}/routes"), route("Normal")).await,
            11 => self.make("routes", &format!("/routers/{router}/routes"), route("Reject")).await,
            12 | 13 => {
                drop(self.send("POST", &format!("/ports/{port}/link"), json!({ "peerId": peer })).await)
            }
            14 => drop(self.send("DELETE", &format!("/ports/{port}/link"), Json::Null).await),
            15 => drop(
                self.send("POST", &format!("/port_groups/{group}/ports"), json!({ "portId": port })).await,
            ),
            16 => {
                let binding =
                    json!({ "hostId": HOST, "portId": port, "interfaceName": format!("eth{number}") });
                drop(self.send("POST", &format!("/hosts/{HOST}/ports"), binding).await);
            }
            17 => drop(self.send("DELETE", &format!("/hosts/{HOST}/ports/{port}"), Json::Null).await),
            18 => drop(self.send("PUT", &format!("/bridges/{bridge}"), filtered).await),
            19 => drop(self.send("DELETE", &format!("/ports/{port}"), Json::Null).await),
            20 => drop(self.send("DELETE", &format!("/chains/{chain}"), Json::Null).await),
            21 if number.is_multiple_of(3) => {
                drop(self.send("DELETE", &format!("/routers/{router}"), Json::Null).await)
            }
            22 if number.is_multiple_of(3) => {
                drop(self.send("DELETE", &format!("/bridges/{bridge}"), Json::Null).await)
            }
            _ => {
                let rule = self.any("rules");
                drop(self.send("DELETE", &format!("/rules/{rule}"), Json::Null).await);
            }
        }
    }
}

async fn topology(server: &Server) -> Json {
    let url = format!("http://{}/_topology", server.address());
    crate::client().get(url).send().await.unwrap().json().await.unwrap()
}

/// Checks that no reference dangles, links have two ends, and rules have consecutive positions.
fn check(all: &Json, version: Version) {
    let objects = |kind: &str| all["objects"][kind].as_array().unwrap().iter();
    let ids = |kind: &str| -> BTreeSet<&str> {
        objects(kind).map(|object| object["id"].as_str().unwrap()).collect()
    };
    let (chains, ports, routers) = (ids("Chain"), ids("Port"), ids("Router"));
    let devices: BTreeSet<&str> = routers.union(&ids("Network")).copied().collect();
    let there = |object: &Json, field: &str, known: &BTreeSet<&str>| {
        assert!(object[field].as_str().is_none_or(|id| known.contains(id)), "{version}: {field} of {object}");
    };
    for kind in ["Router", "Network", "Port"] {
        for object in objects(kind) {
            there(object, "inboundFilterId", &chains);
            there(object, "outboundFilterId", &chains);
        }
    }
    let peers: BTreeMap<&str, Option<&str>> =
        objects("Port").map(|port| (port["id"].as_str().unwrap(), port["peerId"].as_str())).collect();
    for port in objects("Port") {
        assert!(devices.contains(port["deviceId"].as_str().unwrap()), "{version}: {port}");
        if let Some(peer) = port["peerId"].as_str() {
            assert_eq!(peers[peer], port["id"].as_str(), "{version}: {port}");
        }
    }
    for rule in objects("Rule") {
        assert!(chains.contains(rule["chainId"].as_str().unwrap()), "{version}: {rule}");
        there(rule, "jumpChainId", &chains);
    }
    let automatic = objects("Route").filter(|route| route["weight"] == 0).count();
    assert_eq!(automatic, objects("Port").filter(|port| port["type"] == "Router").count(), "{version}");
    for route in objects("Route") {
        there(route, "routerId", &routers);
        if version != Version::V1_7 || route["type"] == "Normal" {
            there(route, "nextHopPort", &ports);
        }
    }
    for member in objects("PortGroupPort") {
        there(member, "portId", &ports);
    }
    for binding in objects("HostInterfacePort") {
        there(binding, "portId", &ports);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_leave_no_dangling_reference() {
    play(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsensical_bodies_leave_no_dangling_reference() {
    play(true).await;
}

async fn play(wild: bool) {
    for (version, seed) in
        Version::ALL.into_iter().flat_map(|version| (0..2).map(move |seed| (version, seed)))
    {
        let folder = tempfile::tempdir().unwrap();
        let options = || Options {
            version,
            hosts: vec![(HOST, "node1".to_owned())],
            state_dir: Some(folder.path().to_owned()),
            inspect: true,
            ..Options::default()
        };
        let server = start(options()).await.unwrap();
        let mut zone = Client {
            base: server.base_url().to_owned(),
            version,
            client: crate::client(),
            known: Known::default(),
            turn: Arc::default(),
            dice: Dice(seed),
            wild: false,
        };
        zone.add_host_to_zone().await;
        let known = Known::default();
        let turn = Arc::default();
        let workers: Vec<_> = (0..8)
            .map(|number| {
                let mut clerk = Client {
                    base: server.base_url().to_owned(),
                    version,
                    client: crate::client(),
                    known: Arc::clone(&known),
                    turn: Arc::clone(&turn),
                    dice: Dice(seed * 100 + number),
                    wild,
                };
                tokio::spawn(async move {
                    for _ in 0..250 {
                        clerk.act().await;
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        let held = topology(&server).await;
        check(&held, version);
        let authority = server.address().to_string();
        server.shutdown().await;
        let server = start(options()).await.unwrap();
        let kept = topology(&server).await.to_string().replace(&server.address().to_string(), &authority);
        let kept: Json = serde_json::from_str(&kept).unwrap();
        assert!(kept == held, "{version}: what was kept is not what was held");
        server.shutdown().await;
    }
}
