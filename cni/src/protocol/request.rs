//! The request of a runtime: the verb and its parameters, from the environment.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net};
use midoform_compiler::values::MacAddress;

use crate::protocol::error::{CniError, Code, Result};

/// A verb of CNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Add,
    Del,
    Check,
    Gc,
    Status,
    Version,
}

impl Verb {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verb::Add => "ADD",
            Verb::Del => "DEL",
            Verb::Check => "CHECK",
            Verb::Gc => "GC",
            Verb::Status => "STATUS",
            Verb::Version => "VERSION",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Verb> {
        let all = [Verb::Add, Verb::Del, Verb::Check, Verb::Gc, Verb::Status, Verb::Version];
        all.into_iter().find(|verb| verb.name() == text).ok_or_else(|| {
            CniError::new(Code::InvalidEnvironment, format!("CNI_COMMAND is `{text}`, which is not a verb"))
                .hint("the verbs are ADD, DEL, CHECK, GC, STATUS and VERSION")
        })
    }
}

/// Reads a variable of the environment.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One interface of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The container's id in the runtime.
    pub(crate) container: String,
    /// The interface's name in the container.
    pub(crate) interface: String,
}

/// The parameters of ADD, DEL and CHECK.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) endpoint: Endpoint,
    /// The path of the container's network namespace. DEL may come without one.
    pub(crate) namespace: Option<PathBuf>,
    pub(crate) arguments: Arguments,
}

/// The parts of `CNI_ARGS` that midonet-cni uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// `K8S_POD_NAMESPACE`.
    pub(crate) pod_namespace: Option<String>,
    /// `K8S_POD_NAME`.
    pub(crate) pod_name: Option<String>,
    /// `IP`.
    pub(crate) address: Option<IpAddr>,
    /// `MAC`.
    pub(crate) mac: Option<MacAddress>,
}

impl Request {
    /// Reads the environment for ADD and CHECK.
    pub(crate) fn read(variables: Variables<'_>) -> Result<Request> {
        let endpoint = Endpoint::read(variables)?;
        let namespace = filled_variable(variables, "CNI_NETNS").map(|text| namespace_path(&text));
        if namespace.is_none() {
            return Err(wrong_variable("CNI_NETNS", "is missing"));
        }
        let arguments = Arguments::parse(&filled_variable(variables, "CNI_ARGS").unwrap_or_default())?;
        Ok(Request { endpoint, namespace, arguments })
    }

    /// Reads the environment for DEL, which needs the endpoint only. Wrong arguments are a warning in the log.
    pub(crate) fn read_for_del(variables: Variables<'_>) -> Result<Request> {
        let endpoint = Endpoint::read(variables)?;
        let namespace = filled_variable(variables, "CNI_NETNS").map(|text| namespace_path(&text));
        let text = filled_variable(variables, "CNI_ARGS").unwrap_or_default();
        let arguments = Arguments::parse(&text).unwrap_or_else(|error| {
            tracing::warn!(error = error.in_full(), "DEL does not need these arguments");
            Arguments { pod_namespace: Arguments::pod_namespace_in(&text), ..Arguments::default() }
        });
        Ok(Request { endpoint, namespace, arguments })
    }
}

impl Endpoint {
    fn read(variables: Variables<'_>) -> Result<Endpoint> {
        let read = |name: &str, problem_of: fn(&str) -> Option<&'static str>| {
            let value = filled_variable(variables, name).ok_or_else(|| wrong_variable(name, "is missing"))?;
            problem_of(&value).map_or(Ok(value), |problem| Err(wrong_variable(name, problem)))
        };
        let container = read("CNI_CONTAINERID", container_problem)?;
        Ok(Endpoint { container, interface: read("CNI_IFNAME", interface_problem)? })
    }
}

/// Reads a variable. An empty one counts as absent.
fn filled_variable(variables: Variables<'_>, name: &str) -> Option<String> {
    variables(name).filter(|value| !value.is_empty())
}

fn wrong_variable(name: &str, problem: &str) -> CniError {
    CniError::new(Code::InvalidEnvironment, format!("{name} {problem}"))
}

/// Returns the path of a namespace that is named by path, by `fd:N`, or by the id of a process.
fn namespace_path(text: &str) -> PathBuf {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.strip_prefix("fd:") {
        Some(number) if is_number(number) => format!("/proc/self/fd/{number}").into(),
        _ if is_number(text) => format!("/proc/{text}/ns/net").into(),
        _ => text.into(),
    }
}

/// The longest container id: long enough for every runtime, short enough for a key in the store.
const LONGEST_CONTAINER: usize = 256;

/// Says what is wrong with a container id, by the specification's rules. A network's name has the same rules.
pub(crate) fn container_problem(id: &str) -> Option<&'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if id.len() > LONGEST_CONTAINER {
        return Some("is longer than 256 characters");
    }
    let starts_well = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_well = starts_well && id.bytes().all(allowed);
    (!is_well)
        .then_some("must begin with a letter or a digit, and may have only letters, digits, `_`, `.` and `-`")
}

/// Says what is wrong with an interface's name, by the kernel's rules.
pub(crate) fn interface_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > 15 {
        return Some("must have 1 to 15 characters");
    }
    // The kernel has settings and files of its own with these names beside those of the interfaces.
    if matches!(name, "." | ".." | "all" | "default" | "bonding_masters") {
        return Some("is a name that the kernel refuses");
    }
    let bad = |c: char| matches!(c, '/' | ':' | '%') || c.is_whitespace() || c.is_control();
    name.chars().any(bad).then_some("must not have `/`, `:`, `%` or spaces")
}

impl Arguments {
    /// Returns `K8S_POD_NAMESPACE`, whatever else the arguments have.
    fn pod_namespace_in(text: &str) -> Option<String> {
        let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| key.trim() == "K8S_POD_NAMESPACE").find_map(|(_, value)| filled(value.trim()))
    }

    /// Reads `KEY=VALUE;KEY=VALUE`. An unknown key is an error, unless `IgnoreUnknown` is true.
    pub(crate) fn parse(text: &str) -> Result<Arguments> {
        let wrong = |problem: String| CniError::new(Code::InvalidEnvironment, format!("CNI_ARGS {problem}"));
        let mut pairs = BTreeMap::new();
        for pair in text.split(';').filter(|pair| !pair.trim().is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| wrong(format!("has `{pair}`, which is not KEY=VALUE")))?;
            pairs.insert(key.trim(), value.trim());
        }
        let mut arguments = Arguments::default();
        let ignores = pairs
            .remove("IgnoreUnknown")
            .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "t"));
        for (key, value) in pairs {
            match key {
                "K8S_POD_NAMESPACE" => arguments.pod_namespace = filled(value),
                "K8S_POD_NAME" => arguments.pod_name = filled(value),
                "K8S_POD_INFRA_CONTAINER_ID" | "K8S_POD_UID" => {}
                "IP" if !value.is_empty() => {
                    let problem = || wrong(format!("has IP={value}, which is not an address"));
                    arguments.address = Some(address_of(value).ok_or_else(problem)?);
                }
                "MAC" if !value.is_empty() => {
                    let mac = mac_of(value)
                        .map_err(|problem| wrong(format!("has MAC={value}, which {problem}")))?;
                    arguments.mac = Some(mac);
                }
                "IP" | "MAC" => {}
                _ if ignores => {}
                _ => {
                    return Err(wrong(format!("has the unknown key `{key}`"))
                        .hint("with IgnoreUnknown=1 it is ignored"));
                }
            }
        }
        Ok(arguments)
    }
}

fn filled(value: &str) -> Option<String> {
    Some(value.to_owned()).filter(|value| !value.is_empty())
}

/// Reads a MAC address that an interface can have. The error completes the sentence "The address …".
pub(crate) fn mac_of(text: &str) -> std::result::Result<MacAddress, String> {
    let mac: MacAddress =
        text.to_ascii_lowercase().replace('-', ":").parse().map_err(|_| "is not a MAC address".to_owned())?;
    if mac.0[0] & 1 == 1 {
        return Err("is the address of a multicast group".to_owned());
    }
    if mac.0 == [0; 6] {
        return Err("no interface can have".to_owned());
    }
    Ok(mac)
}

/// Reads a network without leading zeros: some programs read a number with them as octal.
pub(crate) fn network_of(text: &str) -> Option<Ipv4Net> {
    text.parse().ok().filter(|network: &Ipv4Net| network.to_string() == text)
}

/// Reads an address, with or without a prefix length.
pub(crate) fn address_of(text: &str) -> Option<IpAddr> {
    let of_network = || {
        // As in `network_of`. An IPv6 address has several forms, so only its length is compared.
        let length = text.split_once('/').map(|(_, length)| length).unwrap_or_default();
        let network = text.parse::<IpNet>().ok().filter(|network| network.prefix_len().to_string() == length);
        network.map(|network| network.addr())
    };
    text.parse::<IpAddr>().ok().or_else(of_network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Request> {
        let of =
            |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Request::read(&of)
    }

    #[test]
    fn arguments_come_in_any_order() {
        let text = "MAC=0A-58-c0-A8-00-05;K8S_POD_NAME=web;IP=192.168.0.5/24;IgnoreUnknown=1;K8S_POD_NAMESPACE=acme;X=y";
        let arguments = Arguments::parse(text).unwrap();
        assert_eq!(arguments.pod_namespace.as_deref(), Some("acme"));
        assert_eq!(arguments.pod_name.as_deref(), Some("web"));
        assert_eq!(arguments.address, Some("192.168.0.5".parse().unwrap()));
        assert_eq!(arguments.mac, Some("0a:58:c0:a8:00:05".parse().unwrap()));
    }

    #[test]
    fn unknown_arguments_are_refused_unless_they_may_be_ignored() {
        assert_eq!(Arguments::parse("X=y").unwrap_err().code, Code::InvalidEnvironment);
        assert_eq!(Arguments::parse("X=y;IgnoreUnknown=true").unwrap(), Arguments::default());
        assert_eq!(Arguments::parse("X").unwrap_err().code, Code::InvalidEnvironment);
        assert_eq!(Arguments::parse("IP=a.b").unwrap_err().code, Code::InvalidEnvironment);
        assert_eq!(Arguments::parse("IP=;MAC=").unwrap(), Arguments::default());
    }

    #[test]
    fn every_parameter_is_checked() {
        let good = [("CNI_CONTAINERID", "default-c9"), ("CNI_IFNAME", "eth0"), ("CNI_NETNS", "/run/netns/x")];
        assert!(read(&good).is_ok());
        for (name, bad) in [
            ("CNI_CONTAINERID", ""),
            ("CNI_CONTAINERID", "-x"),
            ("CNI_CONTAINERID", "a/b"),
            ("CNI_IFNAME", ""),
            ("CNI_IFNAME", "a-name-of-sixteen"),
            ("CNI_IFNAME", "a b"),
            ("CNI_IFNAME", ".."),
            ("CNI_NETNS", ""),
        ] {
            let pairs: Vec<_> =
                good.iter().map(|(key, value)| (*key, if *key == name { bad } else { *value })).collect();
            let error = read(&pairs).unwrap_err();
            assert_eq!(error.code, Code::InvalidEnvironment, "{name}={bad}");
            assert!(error.message.contains(name), "{error}");
        }
    }

    #[test]
    fn wrong_arguments_do_not_fail_a_del() {
        for text in
            ["IP=x", "K8S_POD_NAMESPACE=acme;MAC=1;X", "A=1;K8S_POD_NAMESPACE=acme", "=", "K8S_POD_NAMESPACE"]
        {
            let of = |name: &str| match name {
                "CNI_CONTAINERID" => Some("c1".to_owned()),
                "CNI_IFNAME" => Some("eth0".to_owned()),
                "CNI_ARGS" => Some(text.to_owned()),
                _ => None,
            };
            assert!(Arguments::parse(text).is_err() || text == "=", "{text}");
            let request = Request::read_for_del(&of).unwrap();
            let namespace = text.contains('=').then_some("acme").filter(|_| text.contains("acme"));
            assert_eq!(request.arguments.pod_namespace.as_deref(), namespace, "{text}");
        }
    }

    #[test]
    fn a_namespace_is_a_path_a_descriptor_or_a_process() {
        assert_eq!(namespace_path("/run/netns/a"), PathBuf::from("/run/netns/a"));
        assert_eq!(namespace_path("fd:7"), PathBuf::from("/proc/self/fd/7"));
        assert_eq!(namespace_path("4711"), PathBuf::from("/proc/4711/ns/net"));
    }
}
