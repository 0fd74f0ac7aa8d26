//! Who may ask.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::http::reply::Reply;
use crate::resources::login;
use crate::version::Version;

/// How clients show who they are.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Auth {
    /// Everybody is the administrator, as with MidoNet's mock provider: any credentials log in, and requests need no
    /// token (01-login).
    #[default]
    None,
}

/// Answers a login (01-login, steps 0 and 1).
pub(crate) fn login(version: Version, authorization: Option<&str>) -> Reply {
    let charset = version.traits().charset;
    if authorization.and_then(credentials).is_none() {
        let mut refusal = Reply::error(401, login::NO_CREDENTIALS);
        refusal.content_type = refusal.content_type.map(|kind| format!("{kind};charset={charset}"));
        return refusal;
    }
    let kind = format!("{};charset={charset}", login::MEDIA_TYPE);
    Reply::json(200, &kind, &login::token(version.traits().mock_token, None))
}

/// The name and password of a Basic header.
pub(crate) fn credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}
