//! Identity v2.0, the calls of its administrators: `POST /tokens`, `/tenants`.

use serde_json::{Value as Json, json};

use super::{Call, Login, Named, Secret};
use crate::client_error::ClientError;

pub(super) fn login(login: &Login) -> Result<Call<'static>, ClientError> {
    let Login::Password { user, password, project, .. } = login else {
        let message = "Identity v2.0 has no application credentials: log in with a name and a password";
        return Err(ClientError::Setup(message.to_owned()));
    };
    let mut credentials = json!({ "password": password.text() });
    let (key, value) = match user {
        Named::Id(id) => ("userId", id),
        Named::Name(name) => ("username", name),
    };
    set(&mut credentials, key, value);
    let mut auth = json!({ "passwordCredentials": credentials });
    match project {
        Some(Named::Id(id)) => set(&mut auth, "tenantId", id),
        Some(Named::Name(name)) => set(&mut auth, "tenantName", name),
        None => {}
    }
    Ok(Call::post("/v2.0/tokens", json!({ "auth": auth })))
}

fn set(object: &mut Json, key: &str, value: &str) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), Json::from(value));
    }
}

pub(super) fn token(body: &Json) -> Option<Secret> {
    body.pointer("/access/token/id").and_then(Json::as_str).map(|token| Secret::new(token.to_owned()))
}

/// Returns the call that finds a tenant by its name. Its response is one tenant, or 404.
pub(super) fn find(name: &str) -> Call<'_> {
    Call::get("/v2.0/tenants", vec![("name", name)])
}

pub(super) fn make(name: &str) -> Call<'static> {
    let tenant = json!({ "name": name, "description": "made by midoform", "enabled": true });
    Call::post("/v2.0/tenants", json!({ "tenant": tenant }))
}
