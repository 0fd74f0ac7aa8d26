//! The checks of a tenant and their results. `docs/verify.md` explains each check.

use ipnet::Ipv4Net;
use serde::Serialize;

use crate::trace::TraceReport;
use midoform_compiler::diagnostic::Code;
use midoform_compiler::names::TenantName;
use midoform_compiler::network::Tenant;
use midoform_compiler::source::Provenance;
use midoform_compiler::topology::Topology;

/// A check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// No packet from a port of a tenant reaches a port of another, except between peers and to exposed ports.
    Isolation,
    /// No new connection of a pod goes to link addresses: other tenants' routers, the provider's ports.
    Links,
    /// A packet with a foreign source address is dropped.
    Spoofing,
    /// Traffic that the rules accept between a tenant's bridges, and to exposed ports, arrives, and its replies come
    /// back.
    Connected,
    /// Traffic that the rules drop or reject between a tenant's bridges does not arrive.
    Closed,
    /// Pods reach the outside with their tenant's own address, and the replies come back.
    Outside,
    /// No packet is in a loop.
    Loops,
    /// Every rule and route of the spec can match a packet.
    Dead,
}

impl Check {
    /// All checks, in the order of the report.
    pub const ALL: [Check; 8] = [
        Check::Isolation,
        Check::Links,
        Check::Spoofing,
        Check::Connected,
        Check::Closed,
        Check::Outside,
        Check::Loops,
        Check::Dead,
    ];

    /// Returns the name by which code hosts know a finding.
    pub fn code(self) -> Code {
        match self {
            Check::Isolation => Code::VerifyIsolation,
            Check::Links => Code::VerifyLinks,
            Check::Spoofing => Code::VerifySpoofing,
            Check::Connected => Code::VerifyConnected,
            Check::Closed => Code::VerifyClosed,
            Check::Outside => Code::VerifyOutside,
            Check::Loops => Code::VerifyLoops,
            Check::Dead => Code::VerifyDead,
        }
    }

    /// Describes the check.
    pub fn words(self) -> &'static str {
        match self {
            Check::Isolation => "tenants reach each other only as peers and by exposed ports",
            Check::Links => "no pod opens connections to link addresses",
            Check::Spoofing => "packets with spoofed source addresses are dropped",
            Check::Connected => "accepted traffic arrives, and its replies come back",
            Check::Closed => "traffic that the rules drop or reject does not arrive",
            Check::Outside => "pods reach the outside with their tenant's own address",
            Check::Loops => "no packet is in a loop",
            Check::Dead => "every rule and route can match",
        }
    }
}

/// A violation of a check.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// The check.
    #[serde(rename = "question")]
    pub check: Check,
    /// The tenant.
    pub tenant: TenantName,
    /// A description in one line.
    pub message: String,
    /// The line of the spec that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Provenance>,
    /// The trace of a packet that shows the violation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceReport>,
}

/// The result of the checks of some tenants.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// A violation of a check.
    pub violations: Vec<Violation>,
    /// Tenants about which nothing is proven.
    pub unproven: Vec<Unproven>,
}

/// A tenant about which nothing is proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unproven {
    /// The tenant.
    pub tenant: TenantName,
    /// The reason, in words that follow the tenant's name and a colon.
    pub because: String,
}

impl Unproven {
    /// The reason that the verifier would need too long.
    pub(crate) const TOO_MANY: &str = "it has too many rules to verify";
}

/// The network that is verified.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The topology.
    pub topology: &'a Topology,
    /// The tenants that it was compiled from, sorted by name.
    pub tenants: &'a [Tenant],
    /// The networks of link addresses.
    pub links: &'a [Ipv4Net],
}

impl<'a> Subject<'a> {
    /// Returns the tenant with this name.
    pub(crate) fn tenant(self, name: &str) -> Option<&'a Tenant> {
        let index = self.tenants.binary_search_by(|tenant| (*tenant.name).cmp(name)).ok();
        index.and_then(|index| self.tenants.get(index))
    }
}
