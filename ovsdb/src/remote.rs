//! The addresses of servers: the active connection methods of ovsdb(7).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// An address of a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remote {
    /// `unix:PATH`: a Unix domain socket. The path is used as it is: a relative one is relative to the working directory.
    Unix(PathBuf),
    /// `tcp:HOST:PORT`: TCP without encryption.
    Tcp(Endpoint),
    /// `ssl:HOST:PORT`: TLS.
    Ssl(Endpoint),
}

/// A host and a TCP port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// A name or an IP address; an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A remote that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{remote}` is no remote: {problem} (unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT)")]
pub struct RemoteError {
    /// The remote as it was written.
    pub remote: String,
    /// The problem.
    pub problem: &'static str,
}

/// Reads a comma-separated list of remotes. Blanks around a remote don't matter.
///
/// # Errors
/// When a remote is wrong, or the list is empty.
pub fn parse_remotes(text: &str) -> Result<Vec<Remote>, RemoteError> {
    text.split(',').map(|part| part.trim().parse()).collect()
}

impl FromStr for Remote {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Remote, RemoteError> {
        let wrong = |problem| RemoteError { remote: text.to_owned(), problem };
        let (method, rest) = text.split_once(':').ok_or_else(|| wrong("it has no method"))?;
        match method {
            "unix" if rest.is_empty() => Err(wrong("the path is missing")),
            "unix" if rest.contains('\0') => Err(wrong("the path has a NUL character")),
            "unix" => Ok(Remote::Unix(PathBuf::from(rest))),
            "tcp" => Ok(Remote::Tcp(endpoint(rest).map_err(wrong)?)),
            "ssl" => Ok(Remote::Ssl(endpoint(rest).map_err(wrong)?)),
            "punix" | "ptcp" | "pssl" => Err(wrong("a client can't listen")),
            _ => Err(wrong("its method is unknown")),
        }
    }
}

fn endpoint(text: &str) -> Result<Endpoint, &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let host = match host.strip_prefix('[') {
        Some(address) => {
            let address = address.strip_suffix(']').ok_or("a bracket is not closed")?;
            // A zone may follow the address.
            let plain = address.split('%').next().unwrap_or_default();
            plain.parse::<std::net::Ipv6Addr>().map_err(|_| "the brackets hold no IPv6 address")?;
            address
        }
        None if host.contains(':') => return Err("an IPv6 address has to be in brackets"),
        None => host,
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("the host is missing or has blanks");
    }
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(port) if is_number && port != 0 => Ok(Endpoint { host: host.to_owned(), port }),
        _ => Err("the port is no number from 1 to 65535"),
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Remote::Tcp(endpoint) => write!(formatter, "tcp:{endpoint}"),
            Remote::Ssl(endpoint) => write!(formatter, "ssl:{endpoint}"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(formatter, "[{}]:{}", self.host, self.port),
            false => write!(formatter, "{}:{}", self.host, self.port),
        }
    }
}
