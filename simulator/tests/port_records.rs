//! 1.7 writes a port's record without a check: of two calls about one port at the same time, one is lost.

use midoform_simulator::{Options, Server, Version, start};
use serde_json::{Value as Json, json};
use uuid::Uuid;

const HOST: Uuid = Uuid::from_u128(0x1111_1111_2222_3333_4444_5555_5555_5555);

/// A server with a bridge, a port and a port group.
struct Session {
    server: Server,
    version: Version,
    client: reqwest::Client,
    bridge: String,
    port: String,
    group: String,
}

impl Session {
    async fn with(version: Version) -> Session {
        let hosts = vec![(HOST, "node1".to_owned())];
        let server = start(Options { version, hosts, faults: true, ..Options::default() }).await.unwrap();
        let (bridge, port, group) = Default::default();
        let mut session = Session { server, version, client: crate::client(), bridge, port, group };
        let zone = session.make("/tunnel_zones", json!({ "name": "z", "type": "gre" })).await;
        session
            .make(&format!("/tunnel_zones/{zone}/hosts"), json!({ "hostId": HOST, "ipAddress": "10.0.0.1" }))
            .await;
        session.bridge = session.make("/bridges", json!({ "name": "b", "tenantId": "t" })).await;
        session.group = session.make("/port_groups", json!({ "name": "g", "tenantId": "t" })).await;
        session.port = session.new_port().await;
        session
    }

    async fn new_port(&self) -> String {
        self.make(&format!("/bridges/{}/ports", self.bridge), json!({ "type": "Bridge" })).await
    }

    /// Sends a request with a body of the type that its path needs; returns the status and the location.
    async fn send(&self, method: &str, path: &str, body: Json) -> (u16, String) {
        let request =
            self.client.request(method.parse().unwrap(), format!("{}{path}", self.server.base_url()));
        let request = match body {
            Json::Null => request,
            body => {
                request.header("Content-Type", crate::body_type(self.version, path)).body(body.to_string())
            }
        };
        let answer = request.send().await.unwrap();
        let place = answer.headers().get("location").map(|place| place.to_str().unwrap().to_owned());
        (answer.status().as_u16(), place.unwrap_or_default())
    }

    async fn make(&self, path: &str, body: Json) -> String {
        let (status, place) = self.send("POST", path, body).await;
        assert_eq!(status, 201, "{path}");
        place.rsplit('/').next().unwrap().to_owned()
    }

    async fn get(&self, path: &str, accept: &str) -> Json {
        let request = self.client.get(format!("{}{path}", self.server.base_url())).header("Accept", accept);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Returns the port's host and its groups, as the port's record has them.
    async fn record(&self) -> (bool, usize) {
        let revision = if self.version == Version::V1_7 { 2 } else { 3 };
        let one = format!("application/vnd.org.midonet.Port-v{revision}+json");
        let port = self.get(&format!("/ports/{}", self.port), &one).await;
        let list = "application/vnd.org.midonet.collection.PortGroupPort-v1+json";
        let groups = self.get(&format!("/ports/{}/port_groups", self.port), list).await;
        (!port["hostId"].is_null(), groups.as_array().unwrap().len())
    }

    /// Returns the number of the host's bindings and of the group's ports.
    async fn holders(&self) -> (usize, usize) {
        let bindings = "application/vnd.org.midonet.collection.HostInterfacePort-v1+json";
        let bindings = self.get(&format!("/hosts/{HOST}/ports"), bindings).await;
        let members = "application/vnd.org.midonet.collection.PortGroupPort-v1+json";
        let members = self.get(&format!("/port_groups/{}/ports", self.group), members).await;
        (bindings.as_array().unwrap().len(), members.as_array().unwrap().len())
    }

    fn bind(&self) -> Call {
        let body = json!({ "hostId": HOST, "interfaceName": "vif", "portId": self.port });
        ("POST", format!("/hosts/{HOST}/ports"), body)
    }

    fn unbind(&self) -> Call {
        ("DELETE", format!("/hosts/{HOST}/ports/{}", self.port), Json::Null)
    }

    fn join(&self) -> Call {
        ("POST", format!("/port_groups/{}/ports", self.group), json!({ "portId": self.port }))
    }

    fn leave(&self) -> Call {
        ("DELETE", format!("/port_groups/{}/ports/{}", self.group, self.port), Json::Null)
    }

    async fn call(&self, (method, path, body): Call) -> u16 {
        self.send(method, &path, body).await.0
    }

    /// Makes two calls of which the first ends last: the second is made while the first one waits.
    async fn overlapping(&self, first: Call, second: Call) -> (u16, u16) {
        let fault = json!({ "fault": "delay", "method": first.0, "path": first.1, "milliseconds": 150 });
        let faults = format!("http://{}/_faults", self.server.address());
        let set = self.client.post(faults).json(&fault).send().await.unwrap();
        assert_eq!(set.status().as_u16(), 201);
        let later = async {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            self.call(second).await
        };
        tokio::join!(self.call(first), later)
    }

    async fn delete_port(&self) -> u16 {
        self.send("DELETE", &format!("/ports/{}", self.port), Json::Null).await.0
    }
}

/// A method, a path and a body.
type Call = (&'static str, String, Json);

async fn bound_member(version: Version) -> Session {
    let session = Session::with(version).await;
    assert_eq!(session.call(session.bind()).await, 201);
    assert_eq!(session.call(session.join()).await, 201);
    assert_eq!(session.record().await, (true, 1));
    session
}

#[tokio::test]
async fn of_an_unbinding_and_a_leaving_at_once_one_is_lost_on_1_7() {
    for version in Version::ALL {
        for unbinds_last in [true, false] {
            let session = bound_member(version).await;
            let (first, second) = match unbinds_last {
                true => (session.unbind(), session.leave()),
                false => (session.leave(), session.unbind()),
            };
            assert_eq!(session.overlapping(first, second).await, (204, 204), "{version}");
            assert_eq!(session.holders().await, (0, 0), "{version}");
            if version != Version::V1_7 {
                assert_eq!(session.record().await, (false, 0), "{version}");
                assert_eq!(session.delete_port().await, 204, "{version}");
                continue;
            }
            let kept = if unbinds_last { (false, 1) } else { (true, 0) };
            assert_eq!(session.record().await, kept);
            for _ in 0..3 {
                assert_eq!(session.delete_port().await, 500);
            }
            let bridge = format!("/bridges/{}", session.bridge);
            assert_eq!(session.send("DELETE", &bridge, Json::Null).await.0, 500);
        }
    }
}

#[tokio::test]
async fn of_a_binding_and_a_joining_at_once_one_is_lost_on_1_7() {
    for version in Version::ALL {
        let session = Session::with(version).await;
        assert_eq!(session.overlapping(session.join(), session.bind()).await, (201, 201), "{version}");
        let bound = version != Version::V1_7;
        assert_eq!(session.record().await, (bound, 1), "{version}");
        assert_eq!(session.holders().await, (1, 1), "{version}");
        assert_eq!(session.call(session.bind()).await, if bound { wrong_status(version) } else { 201 });
        assert_eq!(session.record().await, (true, 1), "a second binding mends the record");
        assert_eq!(session.delete_port().await, 204, "{version}");
        assert_eq!(session.holders().await, (0, 0), "{version}");
    }
}

/// Returns the status for a binding of a bound port.
fn wrong_status(version: Version) -> u16 {
    if version == Version::V5_0 { 400 } else { 409 }
}

/// Without faults too, calls at the same time are lost, as on the real server.
#[tokio::test]
async fn calls_at_the_same_time_overlap_on_1_7() {
    let mut lost = 0;
    for _ in 0..10 {
        let session = bound_member(Version::V1_7).await;
        let both = tokio::join!(session.call(session.unbind()), session.call(session.leave()));
        assert_eq!(both, (204, 204));
        lost += usize::from(session.record().await != (false, 0));
    }
    assert!(lost > 0, "none of 10 was lost");
    let session = bound_member(Version::V1_7).await;
    assert_eq!(session.call(session.unbind()).await, 204);
    assert_eq!(session.call(session.leave()).await, 204);
    assert_eq!(session.delete_port().await, 204, "one after the other");
}

#[tokio::test]
async fn links_and_filters_are_lost_on_1_7_too() {
    for version in [Version::V1_7, Version::V5_8] {
        let session = Session::with(version).await;
        let router = session.make("/routers", json!({ "name": "r", "tenantId": "t" })).await;
        let body = json!({
            "type": "Router", "portAddress": "10.0.0.1", "networkAddress": "10.0.0.0", "networkLength": 24,
        });
        let peer = session.make(&format!("/routers/{router}/ports"), body).await;
        let chain = session.make("/chains", json!({ "name": "c", "tenantId": "t" })).await;
        let link = ("POST", format!("/ports/{}/link", session.port), json!({ "peerId": peer }));
        let filter = json!({ "type": "Bridge", "inboundFilterId": chain });
        let filter = ("PUT", format!("/ports/{}", session.port), filter);
        assert_eq!(session.overlapping(link, filter).await, (201, 204), "{version}");
        let json = if version == Version::V1_7 { "Port-v2" } else { "Port-v3" };
        let port = format!("/ports/{}", session.port);
        let port = session.get(&port, &format!("application/vnd.org.midonet.{json}+json")).await;
        assert_eq!(port["peerId"], peer, "{version}");
        assert_eq!(port["inboundFilterId"].is_null(), version == Version::V1_7, "{port}");
    }
}

#[tokio::test]
async fn a_port_that_goes_during_a_call_is_500_on_1_7() {
    for version in Version::ALL {
        let session = bound_member(version).await;
        let delete = ("DELETE", format!("/ports/{}", session.port), Json::Null);
        let wanted = if version == Version::V1_7 { 500 } else { 404 };
        assert_eq!(session.overlapping(session.unbind(), delete).await, (wanted, 204), "{version}");
    }
}
