//! Violations of policies. Each names the line of the spec and the line of the policy.

use std::fmt::Display;

use ipnet::{Ipv4Net, Ipv4Subnets};

use super::{Counted, counted};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{Span, Spanned};
use crate::spec::{Action, Egress, Endpoint, Expose, Pattern, Policy, Profile, Rule, Selector, Site, Tenant};
use crate::values::PortRange;

/// The text at the policy's line.
const THE_POLICY: &str = "the policy";

pub(super) fn check(site: &Site, policy: &Policy, tenant: &Tenant, diagnostics: &mut Diagnostics) {
    let mut checker = Checker { site, policy, tenant, diagnostics };
    checker.limits();
    checker.names();
    checker.labels();
    checker.modes();
    checker.networks();
    tenant.exposes.iter().for_each(|expose| checker.expose(expose));
    tenant.rules.iter().for_each(|rule| checker.rule(rule));
}

struct Checker<'a> {
    site: &'a Site,
    policy: &'a Policy,
    tenant: &'a Tenant,
    diagnostics: &'a mut Diagnostics,
}

impl<'a> Checker<'a> {
    fn report(&mut self, code: Code, at: Span, policy: Span, message: String, help: String) {
        self.diagnostics.push(Diagnostic::error(code, at, message).also(policy, THE_POLICY).help(help));
    }

    /// Reports the first thing beyond each limit.
    fn limits(&mut self) {
        let tenant = self.tenant;
        for Counted { key, limit, found } in counted(tenant, &self.policy.limits) {
            let Some(limit) = limit else { continue };
            if let Some(one_too_many) = found.get(limit.value as usize) {
                let message =
                    format!("`{}` has {} {key}, and the policy allows {limit}", tenant.name, found.len());
                let help = format!("remove some, or raise `limits.{key}` in the policy");
                self.report(Code::PolicyLimit, *one_too_many, limit.span, message, help);
            }
        }
    }

    fn name(&mut self, pattern: Option<&Pattern>, what: &str, name: &Spanned<impl AsRef<str>>) {
        let Spanned { value, span } = name;
        let name = value.as_ref();
        let Some(pattern) = pattern.filter(|pattern| !pattern.regex.is_match(name)) else { return };
        let message = format!("the {what} `{name}` does not match the policy's pattern");
        let help = format!("the whole name has to match `{}`", pattern.text);
        self.report(Code::PolicyName, *span, pattern.text.span, message, help);
    }

    fn names(&mut self) {
        let (tenant, names) = (self.tenant, &self.policy.names);
        self.name(names.tenant.as_ref(), "tenant", &tenant.name);
        for bridge in &tenant.bridges {
            self.name(names.bridge.as_ref(), "bridge", &bridge.name);
        }
        for port in &tenant.ports {
            self.name(names.port.as_ref(), "port", &port.name);
        }
        for rule in &tenant.rules {
            self.name(names.rule.as_ref(), "rule", &rule.name);
        }
        for group in &tenant.address_groups {
            self.name(names.address_group.as_ref(), "address group", &group.name);
        }
        for group in &tenant.port_groups {
            self.name(names.port_group.as_ref(), "port group", &group.name);
        }
    }

    fn labels(&mut self) {
        let (tenant, policy) = (self.tenant, self.policy);
        for label in &policy.required_labels {
            if !tenant.labels.contains_key(&label.value) {
                let message = format!("`{}` has no label `{label}`", tenant.name);
                let help = format!("add it: labels = {{ {label} = \"…\" }}");
                self.report(Code::PolicyLabel, tenant.name.span, label.span, message, help);
            }
        }
        for (label, pattern) in &policy.label_values {
            let Some(value) = tenant.labels.get(label) else { continue };
            if !pattern.regex.is_match(value) {
                let message = format!("the label `{label}` can't be `{value}`");
                let help = format!("the whole value has to match `{}`", pattern.text);
                self.report(Code::PolicyLabel, value.span, pattern.text.span, message, help);
            }
        }
        if let Some(labels) = &policy.require_protect {
            let has = |(label, value): (&String, &String)| {
                tenant.labels.get(label).is_some_and(|own| own.value == *value)
            };
            if !tenant.protect && labels.iter().all(has) {
                let message = format!("`{}` has to be protected", tenant.name);
                let help = "add `protect = true`".to_owned();
                self.report(Code::PolicyProtect, tenant.name.span, labels.span, message, help);
            }
        }
    }

    fn modes(&mut self) {
        let (tenant, policy) = (self.tenant, self.policy);
        let profile = tenant.profile_in(self.site);
        if let Some(allowed) = policy.allowed_profiles.as_ref().filter(|allowed| !allowed.contains(&profile))
        {
            let at = tenant.profile.map_or(tenant.name.span, |own| own.span);
            let message = format!("`{}` may not have the profile `{}`", tenant.name, profile.name());
            let help = format!("the policy allows {}", listed(allowed.iter().map(|one| one.name())));
            self.report(Code::PolicyProfile, at, allowed.span, message, help);
        }
        let kind = tenant.anti_spoof_in(self.site);
        if let Some(allowed) = policy.allowed_anti_spoof.as_ref().filter(|allowed| !allowed.contains(&kind)) {
            let at = tenant.anti_spoof.map_or(tenant.name.span, |own| own.span);
            let message = format!("`{}` may not have `anti_spoof = \"{}\"`", tenant.name, kind.name());
            let help = format!("the policy allows {}", listed(allowed.iter().map(|one| one.name())));
            self.report(Code::PolicyAntiSpoof, at, allowed.span, message, help);
        }
    }

    fn networks(&mut self) {
        let (tenant, policy) = (self.tenant, self.policy);
        if let Some(allowed) = &policy.allowed_bridge_networks {
            for cidr in tenant.bridges.iter().filter_map(|bridge| bridge.cidr.as_ref()) {
                if !lies_in(&cidr.value, allowed) {
                    let message = format!("a bridge may not have the network {cidr}");
                    let help = format!("the policy allows networks in {}", listed(allowed.iter()));
                    self.report(Code::PolicyBridgeNetwork, cidr.span, allowed.span, message, help);
                }
            }
        }
        let (Some(allowed), Egress::SnatTo(first, last)) =
            (&policy.allowed_public_addresses, tenant.egress.value)
        else {
            return;
        };
        if !Ipv4Subnets::new(first, last, 0).all(|network| lies_in(&network, allowed)) {
            let message = format!("`{}` may not use {first}-{last} for source NAT", tenant.name);
            let help = format!("the policy allows addresses in {}", listed(allowed.iter()));
            self.report(Code::PolicyPublicAddress, tenant.egress.span, allowed.span, message, help);
        }
    }

    fn expose(&mut self, expose: &Expose) {
        let policy = self.policy;
        let port = expose.public_port;
        let holds =
            |ranges: &[PortRange]| ranges.iter().any(|range| (range.start..=range.end).contains(&port));
        let at = expose.public.span;
        if let Some(allowed) = policy.allowed_public_ports.as_ref().filter(|allowed| !holds(allowed)) {
            let message = format!("the public port {port} may not be exposed");
            let help = format!("the policy allows {}", listed(allowed.iter().map(show)));
            self.report(Code::PolicyPublicPort, at, allowed.span, message, help);
        }
        if let Some(forbidden) = policy.forbidden_public_ports.as_ref().filter(|forbidden| holds(forbidden)) {
            let message = format!("the public port {port} may not be exposed");
            let help = format!("the policy forbids {}", listed(forbidden.iter().map(show)));
            self.report(Code::PolicyPublicPort, at, forbidden.span, message, help);
        }
        let address = Ipv4Net::from(expose.public.value);
        let allowed = policy.allowed_public_addresses.as_ref();
        if let Some(allowed) = allowed.filter(|allowed| !lies_in(&address, allowed)) {
            let message = format!("the address {} may not be exposed", expose.public);
            let help = format!("the policy allows addresses in {}", listed(allowed.iter()));
            self.report(Code::PolicyPublicAddress, at, allowed.span, message, help);
        }
    }

    fn rule(&mut self, rule: &Rule) {
        if rule.action != Action::Accept {
            return;
        }
        // In strict, a rule that names no source opens nothing towards the world.
        let nameless = self.tenant.profile_in(self.site) == Profile::Rainbond;
        let sources = self.policy.forbid_accept_from_anywhere.filter(|_| self.is_all(&rule.from, nameless));
        let targets = self.policy.forbid_accept_to_anywhere.filter(|_| self.is_all(&rule.to, true));
        for (policy, end, word) in [(sources, &rule.from, "from"), (targets, &rule.to, "to")] {
            let Some(policy) = policy else { continue };
            let at = end.selector.as_ref().map_or(rule.name.span, |selector| selector.span);
            let message = format!("the rule `{}` accepts {word} anywhere", rule.name);
            let help = format!("name a bridge, a peer or narrower addresses in `{word}`");
            self.report(Code::PolicyAccept, at, policy, message, help);
        }
    }

    /// Returns true if an end of a rule holds every address.
    fn is_all(&self, end: &Endpoint, nameless: bool) -> bool {
        match end.selector.as_ref().map(|selector| &selector.value) {
            None => nameless,
            Some(Selector::World) => true,
            Some(Selector::Cidr(network)) => network.prefix_len() == 0,
            Some(Selector::AddressGroup(name)) => {
                let group = self.tenant.address_groups.iter().find(|group| group.name.value == *name);
                let networks = group.into_iter().flat_map(|group| &group.addresses);
                let networks: Vec<Ipv4Net> = networks.map(|network| network.value).collect();
                Ipv4Net::aggregate(&networks).iter().any(|network| network.prefix_len() == 0)
            }
            Some(Selector::Bridge(_) | Selector::PortGroup(_) | Selector::Peer(_)) => false,
        }
    }
}

fn lies_in(network: &Ipv4Net, allowed: &[Ipv4Net]) -> bool {
    Ipv4Net::aggregate(&allowed.to_vec()).iter().any(|allowed| allowed.contains(network))
}

fn show(range: &PortRange) -> String {
    match range.start == range.end {
        true => range.start.to_string(),
        false => format!("{}-{}", range.start, range.end),
    }
}

fn listed(items: impl Iterator<Item = impl Display>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    match items.is_empty() {
        true => "none".to_owned(),
        false => items.join(", "),
    }
}
