//! The part of the hosts' agents: living hosts, active ports, and what an agent does not cope with.

use midoform_simulator::{Options, Server, Version, start};
use serde_json::{Value as Json, json};
use uuid::Uuid;

const HOST: Uuid = Uuid::from_u128(0x1111_1111_2222_3333_4444_5555_5555_5555);
const DEVICE: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const PORT: &str = "aaaaaaaa-0000-4000-8000-000000000002";

async fn serve(version: Version, agent: bool) -> Server {
    let hosts = vec![(HOST, "node1".to_owned())];
    start(Options { version, hosts, agent, ..Options::default() }).await.unwrap()
}

async fn send(server: &Server, method: &str, path: &str, body: Json) -> u16 {
    let url = format!("{}{path}", server.base_url());
    let request = crate::client().request(method.parse().unwrap(), url);
    let request = request.header("Content-Type", crate::body_type(Version::V5_8, path));
    request.body(body.to_string()).send().await.unwrap().status().as_u16()
}

async fn read(server: &Server, path: &str, kind: &str) -> Json {
    let accept = format!("application/vnd.org.midonet.{kind}+json");
    let url = format!("{}{path}", server.base_url());
    crate::client().get(url).header("Accept", accept).send().await.unwrap().json().await.unwrap()
}

async fn came_back(server: &Server) -> Json {
    let url = format!("http://{}/_agent", server.address());
    let agent: Json = crate::client().get(url).send().await.unwrap().json().await.unwrap();
    agent["came_back"].clone()
}

async fn make_bound_port(server: &Server) {
    let body = json!({ "id": DEVICE, "name": "b", "tenantId": "t" });
    assert_eq!(send(server, "POST", "/bridges", body).await, 201);
    let body = json!({ "id": PORT, "type": "Bridge" });
    assert_eq!(send(server, "POST", &format!("/bridges/{DEVICE}/ports"), body).await, 201);
    let body = json!({ "hostId": HOST, "portId": PORT, "interfaceName": "vif1" });
    assert_eq!(send(server, "POST", &format!("/hosts/{HOST}/ports"), body).await, 201);
}

async fn add_host_to_zone(server: &Server) {
    let body = json!({ "id": DEVICE, "name": "z", "type": "vxlan" });
    assert_eq!(send(server, "POST", "/tunnel_zones", body).await, 201);
    let body = json!({ "hostId": HOST, "ipAddress": "10.0.0.1" });
    assert_eq!(send(server, "POST", &format!("/tunnel_zones/{DEVICE}/hosts"), body).await, 201);
}

#[tokio::test]
async fn without_an_agent_no_host_lives_and_no_port_is_active() {
    let server = serve(Version::V5_8, false).await;
    add_host_to_zone(&server).await;
    make_bound_port(&server).await;
    assert_eq!(read(&server, &format!("/hosts/{HOST}"), "Host-v3").await["alive"], false);
    assert_eq!(read(&server, &format!("/ports/{PORT}"), "Port-v3").await["active"], false);
    let agent = crate::client().get(format!("http://{}/_agent", server.address())).send().await.unwrap();
    assert_eq!(agent.status().as_u16(), 404);
    server.shutdown().await;
}

#[tokio::test]
async fn an_agent_binds_no_interface_whose_name_comes_back() {
    let server = serve(Version::V5_8, true).await;
    add_host_to_zone(&server).await;
    make_bound_port(&server).await;
    assert_eq!(read(&server, &format!("/hosts/{HOST}"), "Host-v3").await["alive"], true);
    assert_eq!(send(&server, "DELETE", &format!("/hosts/{HOST}"), Json::Null).await, 403);
    assert_eq!(read(&server, &format!("/ports/{PORT}"), "Port-v3").await["active"], true);
    let none = came_back(&server).await;
    assert!(none.as_object().unwrap().values().all(|list| *list == json!([])), "{none}");
    assert_eq!(send(&server, "DELETE", &format!("/bridges/{DEVICE}"), Json::Null).await, 204);
    make_bound_port(&server).await;
    let back = came_back(&server).await;
    assert_eq!((&back["bridges"], &back["ports"]), (&json!([DEVICE]), &json!([PORT])));
    assert_eq!(back["interfaces"], json!([{ "host": HOST, "interface": "vif1" }]));
    assert_eq!(back["tunnel_zones"], json!([]), "an id of another kind is another id");
    assert_eq!(read(&server, &format!("/ports/{PORT}"), "Port-v3").await["active"], false);
    server.shutdown().await;
}

/// When the server starts again, so do the agents: they bind what is bound.
#[tokio::test]
async fn agents_forget_when_they_restart() {
    let folder = tempfile::tempdir().unwrap();
    let options = |agent| Options {
        hosts: vec![(HOST, "node1".to_owned())],
        state_dir: Some(folder.path().to_owned()),
        agent,
        ..Options::default()
    };
    let server = start(options(true)).await.unwrap();
    add_host_to_zone(&server).await;
    make_bound_port(&server).await;
    assert_eq!(send(&server, "DELETE", &format!("/bridges/{DEVICE}"), Json::Null).await, 204);
    make_bound_port(&server).await;
    server.shutdown().await;
    for agent in [true, false, true] {
        let server = start(options(agent)).await.unwrap();
        assert_eq!(read(&server, &format!("/ports/{PORT}"), "Port-v3").await["active"], agent);
        assert_eq!(read(&server, &format!("/hosts/{HOST}"), "Host-v3").await["alive"], agent);
        server.shutdown().await;
    }
}
