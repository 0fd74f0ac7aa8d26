//! A network of the Go plugin: its recorded calls (`predecessor/calls.json`) are repeated for other tenants and addresses
//! against the embedded API. With the keys that the plugin would have written to etcd.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_testutil::http::Connection;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::served::Served;

pub(crate) const HOST: &str = "11111111-2222-3333-4444-555555555555";
const MEDIA: &str = "application/vnd.org.midonet.";

/// A tenant of the plugin.
#[derive(Clone, Copy)]
pub(crate) struct Tenant<'a> {
    pub(crate) name: &'a str,
    pub(crate) tenant_id: &'a str,
    /// The provider router's address, the tenant's, and the pool that both are from.
    pub(crate) link: (&'a str, &'a str, &'a str),
    /// The networks, each with a bridge.
    pub(crate) cidrs: &'a [&'a str],
    /// The number of pods on the last bridge.
    pub(crate) pods: usize,
}

pub(crate) struct PluginNetwork {
    connection: Connection,
    version: &'static str,
    pub(crate) provider: String,
    /// The plugin's keys in etcd.
    pub(crate) keys: Map<String, Json>,
    seed: u128,
}

impl PluginNetwork {
    pub(crate) fn new(served: &Served, version: &'static str) -> PluginNetwork {
        let connection = Connection::open(served.address).unwrap();
        let mut network =
            PluginNetwork { connection, version, provider: String::new(), keys: Map::new(), seed: 7 };
        let kind = network.media("Router");
        // A host carries ports only in a tunnel zone.
        let zone = json!({ "name": "zone", "type": "gre" });
        let zone = network.post("/tunnel_zones", &format!("{MEDIA}TunnelZone-v1+json"), &zone);
        let member = json!({ "hostId": HOST, "ipAddress": "10.0.0.1" });
        network.post(
            &format!("/tunnel_zones/{zone}/hosts"),
            &format!("{MEDIA}TunnelZoneHost-v1+json"),
            &member,
        );
        network.provider =
            network.post("/routers", &kind, &json!({ "name": "provider", "tenantId": "admin" }));
        network
    }

    fn media(&self, kind: &str) -> String {
        let number = match (kind, self.version) {
            ("Router", "1.7") | ("Port", "1.7") | ("Rule", _) => 2,
            ("Router" | "Port", _) => 3,
            ("Bridge", "1.7") => 1,
            ("Bridge", _) => 4,
            _ => 1,
        };
        format!("{MEDIA}{kind}-v{number}+json")
    }

    /// Returns a random id, which is the same in every run.
    fn id(&mut self) -> String {
        self.seed =
            self.seed.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(0x5851_f42d);
        uuid::Builder::from_random_bytes(self.seed.to_be_bytes()).into_uuid().to_string()
    }

    /// Creates an object. Returns its id.
    pub(crate) fn post(&mut self, path: &str, kind: &str, body: &Json) -> String {
        let path = format!("/midonet-api{path}");
        let answer = self.connection.send("POST", &path, kind, &body.to_string()).unwrap();
        assert_eq!(answer.status, 201, "POST {path} {body}: {}", answer.body);
        answer.location.rsplit('/').next().unwrap().to_owned()
    }

    /// Reads an object.
    pub(crate) fn get(&mut self, kind: &str, id: &str) -> Json {
        let path = format!("/midonet-api/{}s/{id}", kind.to_lowercase());
        let answer = self.connection.send("GET", &path, &self.media(kind), "").unwrap();
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Changes a field of an object.
    pub(crate) fn change(&mut self, kind: &str, id: &str, field: &str, value: Json) {
        let mut object = self.get(kind, id);
        object[field] = value;
        let path = format!("/midonet-api/{}s/{id}", kind.to_lowercase());
        let answer = self.connection.send("PUT", &path, &self.media(kind), &object.to_string()).unwrap();
        assert_eq!(answer.status, 204, "PUT {path}: {}", answer.body);
    }

    pub(crate) fn delete(&mut self, path: &str) {
        let answer = self.connection.send("DELETE", &format!("/midonet-api{path}"), "*/*", "").unwrap();
        assert_eq!(answer.status, 204, "DELETE {path}: {}", answer.body);
    }

    /// Repeats recorded calls. `ids` are the ids by their names in the recording; `change` changes a body to that of
    /// another tenant.
    fn play(&mut self, calls: &[Json], ids: &mut BTreeMap<String, String>, change: &dyn Fn(&mut Json)) {
        for call in calls.iter().filter(|call| call["body"].is_object()) {
            let mut body = call["body"].clone();
            change(&mut body);
            let own = body["id"].as_str().map(str::to_owned);
            if let Some(own) = &own
                && !ids.contains_key(own)
            {
                let id = self.id();
                ids.insert(own.clone(), id);
            }
            let fill =
                |text: &str| ids.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
            let path = fill(call["path"].as_str().unwrap().trim_start_matches("/midonet-api"));
            let body: Json = serde_json::from_str(&fill(&body.to_string())).unwrap();
            let kind = call["type"].as_str().unwrap().trim_start_matches(MEDIA);
            let kind = self.media(kind.split('-').next().unwrap());
            let got = self.post(&path, &kind, &body);
            // 1.x chooses ids by itself.
            if let (Some(own), false) = (own, path.ends_with("/link")) {
                ids.insert(own, got);
            }
        }
    }

    /// Creates what the plugin creates for a tenant: its first pod, more bridges, more pods. Returns the ids, by their names in
    /// the recording.
    pub(crate) fn tenant(&mut self, tenant: Tenant<'_>) -> BTreeMap<String, String> {
        let recorded: Json = serde_json::from_str(include_str!("predecessor/calls.json")).unwrap();
        let calls = |name: &str| recorded[name].as_array().unwrap().clone();
        let mut ids = BTreeMap::from([("${id:5}".to_owned(), self.provider.clone())]);
        let all = calls("first_add");
        let bridge_at = all.iter().position(|call| call["path"] == "/midonet-api/bridges").unwrap();
        let port_at =
            all.iter().rposition(|call| call["path"] == "/midonet-api/bridges/${id:12}/ports").unwrap();
        self.play(&all[..bridge_at], &mut ids, &|body| adapt(body, &tenant, "bridge0", tenant.cidrs[0]));
        let mut bridges = Vec::new();
        for (at, cidr) in tenant.cidrs.iter().enumerate() {
            let name = if at == 0 { "bridge0".to_owned() } else { format!("bridge-{}", self.id()) };
            for made in ["${id:12}", "${id:13}", "${id:14}", "${id:15}"] {
                ids.remove(made);
            }
            self.play(&all[bridge_at..port_at], &mut ids, &|body| adapt(body, &tenant, &name, cidr));
            bridges.push((ids["${id:12}"].clone(), name));
        }
        let mut pods = Vec::new();
        for _ in 0..tenant.pods {
            let container = format!("{}{}", self.id(), self.id()).replace('-', "");
            let interface = format!("vif{}", &container[..12]);
            ids.remove("${id:17}");
            self.play(&calls("later_add")[1..], &mut ids, &|body| {
                if body["interfaceName"].is_string() {
                    body["interfaceName"] = Json::from(interface.clone());
                }
            });
            pods.push((container, interface, ids["${id:17}"].clone()));
        }
        self.write_keys(&tenant, &ids, &bridges, &pods);
        ids
    }

    fn write_keys(
        &mut self,
        tenant: &Tenant<'_>,
        ids: &BTreeMap<String, String>,
        bridges: &[(String, String)],
        pods: &[(String, String, String)],
    ) {
        let Tenant { name, tenant_id, .. } = *tenant;
        let root = format!("/midonet-cni/tenant/{tenant_id}");
        let mut put = |key: String, value: Json| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.keys.insert(key, Json::from(text));
        };
        put(format!("{root}/info"), json!({ "name": name, "enabled": true, "id": tenant_id }));
        put(
            format!("{root}/router"),
            json!({ "id": ids["${id:3}"], "name": format!("{name} default router") }),
        );
        for (id, bridge) in bridges {
            put(format!("{root}/bridge/{id}"), json!({ "id": id, "name": format!("{name} {bridge}") }));
        }
        let cidr: Ipv4Net = tenant.cidrs.last().unwrap().parse().unwrap();
        for ((container, interface, port), address) in pods.iter().zip(cidr.hosts()) {
            let prefix = cidr.prefix_len();
            put(format!("/midonet-cni/ip/pod/{name}/{container}"), json!(format!("{address}/{prefix}")));
            let binding = json!({ "hostId": HOST, "interfaceName": interface, "portId": port });
            put(format!("/midonet-cni/bingding/{name}/{container}"), binding);
        }
        put(format!("/midonet-cni/ip/pod/{name}/available/iprange"), json!(cidr.to_string()));
    }
}

/// Changes a recorded body to this tenant's names and addresses.
fn adapt(body: &mut Json, tenant: &Tenant<'_>, bridge: &str, cidr: &str) {
    let (far, near, pool) = tenant.link;
    let pool: Ipv4Net = pool.parse().unwrap();
    let cidr: Ipv4Net = cidr.parse().unwrap();
    let gateway = Ipv4Addr::from(u32::from(cidr.broadcast()) - 1).to_string();
    let of_pool = body["networkAddress"] == "172.16.9.0";
    if body["networkLength"].is_number() {
        body["networkLength"] = Json::from(if of_pool { pool.prefix_len() } else { cidr.prefix_len() });
    }
    if body["dstNetworkAddr"] == "192.168.0.0" {
        body["dstNetworkLength"] = Json::from(cidr.prefix_len());
    }
    if body["tenantId"].is_string() {
        body["tenantId"] = Json::from(tenant.tenant_id);
    }
    let mut text = body.to_string();
    for (from, to) in [
        ("172.16.9.0", pool.network().to_string().as_str()),
        ("172.16.9.2", far),
        ("172.16.9.3", near),
        ("192.168.0.254", &gateway),
        ("192.168.0.0", &cidr.network().to_string()),
        ("tenant1 bridge0", &format!("{} {bridge}", tenant.name)),
        ("tenant1 ", &format!("{} ", tenant.name)),
    ] {
        text = text.replace(&format!("\"{from}"), &format!("\"\u{1}{to}"));
    }
    *body = serde_json::from_str(&text.replace('\u{1}', "")).unwrap();
}

/// Returns true if an id is random.
pub(crate) fn is_random(id: &str) -> bool {
    Uuid::parse_str(id).unwrap().get_version_num() == 4
}
