//! The application root, with the URIs of all collections (01-login, step 2).

use serde_json::{Map, Value as Json};

use crate::version::{Version, Versions};

/// The links of the root: name, path, and the versions that have the link.
const TABLE: &[(&str, &str, Versions)] = &[
    ("uri", "/", Versions::ALL),
    ("bgpNetworkTemplate", "/bgp_networks/{id}", Versions::V5),
    ("bgpPeerTemplate", "/bgp_peers/{id}", Versions::V5),
    ("bridges", "/bridges", Versions::ALL),
    ("bridgeTemplate", "/bridges/{id}", Versions::ALL),
    ("chains", "/chains", Versions::ALL),
    ("chainTemplate", "/chains/{id}", Versions::ALL),
    ("healthMonitors", "/health_monitors", Versions::ALL),
    ("healthMonitorTemplate", "/health_monitors/{id}", Versions::ALL),
    ("hosts", "/hosts", Versions::ALL),
    ("hostTemplate", "/hosts/{id}", Versions::ALL),
    ("ipAddrGroups", "/ip_addr_groups", Versions::ALL),
    ("ipAddrGroupTemplate", "/ip_addr_groups/{id}", Versions::ALL),
    ("l2insertions", "/l2insertions", Versions::V5),
    ("l2InsertionTemplate", "/l2insertions/{id}", Versions::V5),
    ("loadBalancers", "/load_balancers", Versions::ALL),
    ("loadBalancerTemplate", "/load_balancers/{id}", Versions::ALL),
    ("mirrors", "/mirrors", Versions::V5),
    ("mirrorTemplate", "/mirrors/{id}", Versions::V5),
    ("neutron", "/neutron", Versions::V5),
    ("poolMembers", "/pool_members", Versions::ALL),
    ("poolMemberTemplate", "/pool_members/{id}", Versions::ALL),
    ("pools", "/pools", Versions::ALL),
    ("poolTemplate", "/pools/{id}", Versions::ALL),
    ("portGroups", "/port_groups", Versions::ALL),
    ("portGroupTemplate", "/port_groups/{id}", Versions::ALL),
    ("ports", "/ports", Versions::V5),
    ("portTemplate", "/ports/{id}", Versions::ALL),
    ("qosBwLimitRuleTemplate", "/qos_bw_limit_rules/{id}", Versions::V5_8),
    ("qosDscpRuleTemplate", "/qos_dscp_rules/{id}", Versions::V5_8),
    ("qosPolicies", "/qos_policies", Versions::V5_8),
    ("qosPolicyTemplate", "/qos_policies/{id}", Versions::V5_8),
    ("routers", "/routers", Versions::ALL),
    ("routerTemplate", "/routers/{id}", Versions::ALL),
    ("routeTemplate", "/routes/{id}", Versions::ALL),
    ("ruleTemplate", "/rules/{id}", Versions::ALL),
    ("serviceContainerGroups", "/service_container_groups", Versions::V5_8),
    ("serviceContainerGroupTemplate", "/service_container_groups/{id}", Versions::V5_8),
    ("serviceContainers", "/service_containers", Versions::V5_8),
    ("serviceContainerTemplate", "/service_containers/{id}", Versions::V5_8),
    ("systemState", "/system_state", Versions::ALL),
    ("tenants", "/tenants", Versions::ALL),
    ("tenantTemplate", "/tenants/{id}", Versions::ALL),
    ("traceRequests", "/traces", Versions::V5),
    ("traceRequestTemplate", "/traces/{id}", Versions::V5),
    ("tunnelZones", "/tunnel_zones", Versions::ALL),
    ("tunnelZoneTemplate", "/tunnel_zones/{id}", Versions::ALL),
    ("vips", "/vips", Versions::ALL),
    ("vipTemplate", "/vips/{id}", Versions::ALL),
    ("vteps", "/vteps", Versions::ALL),
    ("vtepTemplate", "/vteps/{id}", Versions::V5),
    ("vtepTemplate", "/vteps/{ipAddr}", Versions::V1),
    ("writeVersion", "/write_version", Versions::V1),
    ("bgpTemplate", "/bgps/{id}", Versions::V1),
    ("adRouteTemplate", "/ad_routes/{id}", Versions::V1),
    ("hostVersions", "/versions", Versions::V1),
];

/// Returns the application root as JSON.
pub(crate) fn shown(base: &str, version: Version) -> Json {
    let mut map = Map::new();
    map.insert("version".to_owned(), Json::from(version.traits().application));
    for (name, path, versions) in TABLE {
        if versions.has(version) {
            map.insert((*name).to_owned(), Json::from(format!("{base}{path}")));
        }
    }
    Json::Object(map)
}
