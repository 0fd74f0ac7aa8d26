//! Draws the topology: routers, bridges, ports and links, with the changes marked.

use std::collections::BTreeMap;

use serde::Serialize;

use midoform_compiler::plan::{Action, Plan};
use midoform_compiler::printable::printable;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::view::{BridgeKey, KeyView, TenantKey};
use midoform_compiler::topology::key::{Key, SITE};
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::topology::kinds::{NatTarget, Object, Reference, RouterPort, Row, RuleAction};

/// A bridge with more static ports than this shows their number.
const MOST_PORTS: usize = 8;

/// The drawing, as the templates take it.
#[derive(Serialize)]
pub(super) struct Picture {
    site: String,
    nodes: Vec<Node>,
    clusters: Vec<Cluster>,
    edges: Vec<Edge>,
}

#[derive(Serialize)]
struct Cluster {
    id: String,
    name: String,
    nodes: Vec<Node>,
}

#[derive(Serialize)]
struct Node {
    id: String,
    /// Lines, each quoted for both languages.
    label: Vec<String>,
    router: bool,
    bridge: bool,
    change: &'static str,
}

#[derive(Serialize)]
struct Edge {
    from: String,
    to: String,
    label: Vec<String>,
    change: &'static str,
}

impl Picture {
    /// Draws a topology, with the changes of a plan.
    pub(super) fn of(plan: &Plan, topology: &Topology) -> Picture {
        let changes = plan.changes().map(|step| (step.key.as_str(), change(step.action))).collect();
        Drawer { topology, changes, numbers: BTreeMap::new() }.draw(&plan.site)
    }
}

fn change(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Update | Action::Replace => "change",
        Action::Delete => "delete",
        Action::Keep => "",
    }
}

/// Replaces quotes, angle brackets and backslashes by similar characters that neither language interprets.
fn safe(text: &str) -> String {
    let replace = |character: char| match character {
        '"' => '\'',
        '<' => '‹',
        '>' => '›',
        '\\' => '/',
        '#' => '♯',
        other => other,
    };
    printable(text).chars().map(replace).collect()
}

struct Drawer<'a> {
    topology: &'a Topology,
    changes: BTreeMap<&'a str, &'static str>,
    numbers: BTreeMap<String, usize>,
}

impl<'a> Drawer<'a> {
    fn draw(mut self, site: &str) -> Picture {
        let mut clusters: Vec<Cluster> = Vec::new();
        let mut nodes = Vec::new();
        let mut edges = Vec::new();
        for entry in self.topology.entries() {
            let node = match &entry.object {
                Object::Router(device) => Some(self.router(&entry.key, &device.name)),
                Object::Bridge(device) => Some(self.bridge(&entry.key, &device.name)),
                Object::Row(row) => match row.table {
                    Table::LogicalRouter => {
                        Some(self.router(&entry.key, row.text_of("name").unwrap_or_default()))
                    }
                    Table::LogicalSwitch => {
                        Some(self.bridge(&entry.key, row.text_of("name").unwrap_or_default()))
                    }
                    _ => None,
                },
                _ => None,
            };
            let Some(node) = node else { continue };
            let tenant = entry.key.owner();
            if tenant == SITE {
                nodes.push(node);
                continue;
            }
            if clusters.last().is_none_or(|cluster| cluster.name != tenant) {
                let id = format!("cluster_{}", clusters.len() + 1);
                clusters.push(Cluster { id, name: safe(tenant), nodes: Vec::new() });
            }
            if let Some(cluster) = clusters.last_mut() {
                cluster.nodes.push(node);
            }
        }
        for entry in self.topology.entries() {
            if let Object::PortLink(link) = &entry.object {
                edges.extend(self.edge(&entry.key, &link.port, &link.peer, &mut nodes));
            }
        }
        for (port, peer) in row_links(self.topology) {
            edges.extend(self.edge(port, &port.into(), &peer.into(), &mut nodes));
        }
        Picture { site: safe(site), nodes, clusters, edges }
    }

    fn id(&mut self, name: &str) -> String {
        let next = self.numbers.len() + 1;
        format!("n{}", self.numbers.entry(name.to_owned()).or_insert(next))
    }

    fn changed(&self, key: &Key) -> &'static str {
        self.changes.get(key.as_str()).copied().unwrap_or_default()
    }

    fn router(&mut self, key: &Key, name: &str) -> Node {
        let mut label = vec![safe(name)];
        let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
        let of_tenant = self.topology.of_tenant(key.owner()).filter(|_| key.owner() != SITE);
        for (_, entry) in of_tenant {
            let balancer = entry.object.row().filter(|row| row.table == Table::LoadBalancer);
            let targets = balancer.and_then(|row| row.map_of("vips")).into_iter().flat_map(|map| map.iter());
            label.extend(targets.map(|(public, target)| safe(&format!("{public} to {target}"))));
            if let Object::Rule(rule) = &entry.object {
                let chain = rule.chain.key().map(Key::short_name).unwrap_or_default();
                *rules.entry(chain).or_default() += 1;
                if let RuleAction::DestinationNat(NatTarget { first, ports, .. }, _) = &rule.action {
                    let public = rule
                        .condition
                        .destination
                        .map(|network| network.addr().to_string())
                        .unwrap_or_default();
                    let port = rule.condition.destination_ports.map(|range| range.start).unwrap_or_default();
                    label.push(safe(&format!("{public}:{port} to {first}:{}", ports.start)));
                }
            }
        }
        let counts: Vec<String> = rules.iter().map(|(chain, count)| format!("{chain} {count}")).collect();
        if !counts.is_empty() {
            label.push(safe(&format!("rules: {}", counts.join(", "))));
        }
        Node { id: self.id(key.as_str()), label, router: true, bridge: false, change: self.changed(key) }
    }

    fn bridge(&mut self, key: &Key, name: &str) -> Node {
        let mut label = vec![safe(name)];
        let on_it = |entry: &&'a midoform_compiler::topology::Entry| match &entry.object {
            Object::BridgePort(port) => {
                port.bridge.key() == Some(key)
                    && !matches!(
                        entry.key.view(),
                        KeyView::Tenant(_, TenantKey::Bridge(_, BridgeKey::GatewayPeer))
                    )
            }
            Object::Row(row) => {
                row.table == Table::LogicalSwitchPort
                    && row.text_of("type").is_none()
                    && row.holder_key() == Some(key)
            }
            _ => false,
        };
        let of_tenant = self.topology.of_tenant(key.owner()).map(|(_, entry)| entry);
        let ports: Vec<&str> = of_tenant.filter(on_it).map(|entry| entry.key.short_name()).collect();
        match ports.len() {
            0 => {}
            count if count > MOST_PORTS => label.push(format!("{count} static ports")),
            _ => label.extend(ports.iter().map(|port| safe(&format!("port {port}")))),
        }
        Node { id: self.id(key.as_str()), label, router: false, bridge: true, change: self.changed(key) }
    }

    /// Returns a link as an edge between the devices of its ports. A device outside the topology gets a node.
    fn edge(&mut self, key: &Key, port: &Reference, peer: &Reference, nodes: &mut Vec<Node>) -> Option<Edge> {
        let (from, from_label) = self.end(port, nodes)?;
        let (to, to_label) = self.end(peer, nodes)?;
        let label = [from_label, to_label].into_iter().flatten().collect();
        Some(Edge { from, to, label, change: self.changed(key) })
    }

    fn end(&mut self, port: &Reference, nodes: &mut Vec<Node>) -> Option<(String, Option<String>)> {
        let (device, label) = match &self.topology.get(port.key()?.as_str())?.object {
            Object::RouterPort(RouterPort { router, address, network, .. }) => {
                (router.clone(), Some(format!("{address}/{}", network.prefix_len())))
            }
            Object::BridgePort(port) => (port.bridge.clone(), None),
            Object::Row(row) => {
                (row.holder.as_ref()?.row.clone(), row.texts_of("networks").next().map(str::to_owned))
            }
            _ => return None,
        };
        let id = match &device {
            Reference::Key(key) => self.id(key.as_str()),
            outside => {
                let name = match outside {
                    Reference::Named(name) => safe(name),
                    other => other.to_string(),
                };
                let id = self.id(&name);
                if !nodes.iter().any(|node| node.id == id) {
                    let label = vec!["provider router".to_owned(), name];
                    nodes.push(Node { id: id.clone(), label, router: true, bridge: false, change: "" });
                }
                id
            }
        };
        Some((id, label))
    }
}

/// Returns the pairs of linked ports of OVN, each once: two ports of routers, or a port of a switch and one of a router.
fn row_links(topology: &Topology) -> Vec<(&Key, &Key)> {
    let rows = topology.rows();
    let routers_ports = rows.clone().filter(|(_, row)| row.table == Table::LogicalRouterPort);
    let names: BTreeMap<&str, &Key> =
        routers_ports.filter_map(|(key, row)| Some((row.text_of("name")?, key))).collect();
    rows.filter_map(|(key, row)| linked(key, row, &names)).collect()
}

/// Returns a port with the port of a router that it is linked to; none if that one has the link already.
fn linked<'t>(key: &'t Key, row: &Row, names: &BTreeMap<&str, &'t Key>) -> Option<(&'t Key, &'t Key)> {
    let peer = match row.table {
        Table::LogicalRouterPort => {
            row.text_of("peer").and_then(|name| names.get(name)).filter(|peer| key < **peer)
        }
        Table::LogicalSwitchPort => {
            let options = row.map_of("options")?;
            options.get("router-port").and_then(|name| names.get(name))
        }
        _ => None,
    };
    Some((key, *peer?))
}
