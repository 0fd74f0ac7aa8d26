//! URLs of servers, as the site file and the command line name them.

use std::fmt;

/// The problem of a URL. Its text never repeats the URL, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlProblem {
    /// It does not begin with `http://` or `https://`.
    Scheme,
    /// It holds a user or a password.
    Login,
    /// It holds a query or a fragment.
    Query,
    /// It names no host, or a port that is none.
    Host,
    /// It holds spaces, backslashes or control characters.
    Characters,
}

impl fmt::Display for UrlProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            UrlProblem::Scheme => "is not an http:// or https:// URL",
            UrlProblem::Login => "holds a user or a password",
            UrlProblem::Query => "holds a query or a fragment (`?`, `#`)",
            UrlProblem::Host => "names no host, or no valid port",
            UrlProblem::Characters => "holds a space, a backslash or a control character",
        })
    }
}

impl UrlProblem {
    /// Returns advice.
    pub fn help(self) -> &'static str {
        match self {
            UrlProblem::Scheme | UrlProblem::Host => "write it as `http://HOST:PORT/PATH`",
            UrlProblem::Login => "a login is never in a URL: set it in the environment (docs/login.md)",
            UrlProblem::Query => "end it with the path: midoform adds the rest",
            UrlProblem::Characters => "take them out",
        }
    }
}

/// Returns the base URL of a server, with its scheme in small letters.
///
/// # Errors
/// When it is no URL of HTTP, or holds a login, a query or a fragment.
pub fn base_url(url: &str) -> Result<String, UrlProblem> {
    // A password may hold any of the other signs, so this comes first.
    if url.contains('@') {
        return Err(UrlProblem::Login);
    }
    let (scheme, rest) = url.split_once("://").ok_or(UrlProblem::Scheme)?;
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(UrlProblem::Scheme);
    }
    if rest
        .contains(|character: char| character.is_whitespace() || character.is_control() || character == '\\')
    {
        return Err(UrlProblem::Characters);
    }
    if rest.contains(['?', '#']) {
        return Err(UrlProblem::Query);
    }
    let authority = rest.split('/').next().unwrap_or_default();
    match is_host(authority) {
        true => Ok(format!("{scheme}://{rest}")),
        false => Err(UrlProblem::Host),
    }
}

/// Returns true for a host with or without a port.
fn is_host(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[') {
        Some(address) => {
            let Some((address, port)) = address.split_once(']') else { return false };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            (address, port.strip_prefix(':').or((!port.is_empty()).then_some("")))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    !host.is_empty() && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_servers_are_taken() {
        for (url, base) in [
            ("http://h", "http://h"),
            ("HTTP://Host:8181/midonet-api", "http://Host:8181/midonet-api"),
            ("HttpS://10.0.0.1/a/b/", "https://10.0.0.1/a/b/"),
            ("http://[::1]:8181/x", "http://[::1]:8181/x"),
            ("https://[2001:db8::1]", "https://[2001:db8::1]"),
        ] {
            assert_eq!(base_url(url).as_deref(), Ok(base));
        }
    }

    #[test]
    fn everything_else_is_refused_and_not_repeated() {
        for (url, problem) in [
            ("", UrlProblem::Scheme),
            ("h:8181", UrlProblem::Scheme),
            ("ftp://h", UrlProblem::Scheme),
            ("http:/h", UrlProblem::Scheme),
            ("http://me:hunter2@h/x", UrlProblem::Login),
            ("http://me@h", UrlProblem::Login),
            ("http://me:hun/ter2@h", UrlProblem::Login),
            ("http://me:hun?ter2@h", UrlProblem::Login),
            ("http://h/x?token=hunter2", UrlProblem::Query),
            ("http://h?", UrlProblem::Query),
            ("http://h/#a", UrlProblem::Query),
            ("http://", UrlProblem::Host),
            ("http://:80", UrlProblem::Host),
            ("http:///x", UrlProblem::Host),
            ("http://h:port", UrlProblem::Host),
            ("http://h:", UrlProblem::Host),
            ("http://h:99999", UrlProblem::Host),
            ("http://[::1", UrlProblem::Host),
            ("http://[::1]8181", UrlProblem::Host),
            ("http://h /x", UrlProblem::Characters),
            ("http://h\\x", UrlProblem::Characters),
            ("http://h/\u{1b}", UrlProblem::Characters),
        ] {
            assert_eq!(base_url(url), Err(problem), "{url}");
            assert!(!problem.to_string().contains("hunter2"));
        }
    }
}
