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
    /// Its path has `.` or `..` as a part, or a `%` without two hexadecimal digits; or it has a path where none belongs.
    Path,
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
            UrlProblem::Path => "has a path that no server can have there",
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
            UrlProblem::Path => "write the path without `.`, `..` and `%`; a member of etcd has none",
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
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if !is_host(authority) {
        return Err(UrlProblem::Host);
    }
    match path.split('/').all(is_path_part) {
        true => Ok(format!("{scheme}://{rest}")),
        false => Err(UrlProblem::Path),
    }
}

/// Returns the URL of a member of etcd, which has no path, without `/` at its end.
///
/// # Errors
/// When it is no URL of a server, or has a path.
pub fn etcd_endpoint(url: &str) -> Result<String, UrlProblem> {
    let base = base_url(url)?;
    let base = base.strip_suffix('/').unwrap_or(&base);
    match base.matches('/').count() {
        2 => Ok(base.to_owned()),
        _ => Err(UrlProblem::Path),
    }
}

/// Returns true for a part of a path that every client sends as it is written: not `.` or `..`, also not encoded, and each
/// `%` with its two digits.
fn is_path_part(part: &str) -> bool {
    let digits = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    let dots = part.to_ascii_lowercase().replace("%2e", ".");
    !matches!(dots.as_str(), "." | "..") && part.split('%').skip(1).all(digits)
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
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let is_named = |character: char| character.is_alphanumeric() || matches!(character, '-' | '_' | '.');
    let is_host = authority.starts_with('[') || host.chars().all(is_named);
    !host.is_empty() && is_host && port.is_none_or(is_port)
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
            ("http://h_1.lab-2/a%20b/..c/d.", "http://h_1.lab-2/a%20b/..c/d."),
        ] {
            assert_eq!(base_url(url).as_deref(), Ok(base));
        }
    }

    #[test]
    fn a_member_of_etcd_has_no_path() {
        for url in ["http://h:2379", "HTTP://h:2379/"] {
            assert_eq!(etcd_endpoint(url).as_deref(), Ok("http://h:2379"));
        }
        for (url, problem) in [
            ("http://h:2379/x", UrlProblem::Path),
            ("http://h:2379//", UrlProblem::Path),
            ("h:2379", UrlProblem::Scheme),
            ("http://u:hunter2@h:2379", UrlProblem::Login),
        ] {
            assert_eq!(etcd_endpoint(url), Err(problem), "{url}");
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
            ("http://h:0/", UrlProblem::Host),
            ("http://h:00", UrlProblem::Host),
            ("http://[::1]:0", UrlProblem::Host),
            ("http://a,b:80", UrlProblem::Host),
            ("http://a:1,http://b:2", UrlProblem::Host),
            ("http://%zz/", UrlProblem::Host),
            ("http://h/%zz", UrlProblem::Path),
            ("http://h/a%4", UrlProblem::Path),
            ("http://h/a/%", UrlProblem::Path),
            ("http://h/x/../..", UrlProblem::Path),
            ("http://h/./x", UrlProblem::Path),
            ("http://h/x/%2E%2e/", UrlProblem::Path),
            ("http://h/x/.%2e", UrlProblem::Path),
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
