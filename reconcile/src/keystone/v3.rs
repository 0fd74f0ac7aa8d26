//! Identity v3: `POST /auth/tokens`, `/projects`.

use serde_json::{Value as Json, json};

use super::{Call, Login, Named};

pub(super) fn login(login: &Login) -> Call<'static> {
    let auth = match login {
        Login::Password { user, user_domain, password, project, project_domain } => {
            let mut user = in_domain(user, user_domain);
            if let Some(user) = user.as_object_mut() {
                user.insert("password".to_owned(), Json::from(password.text()));
            }
            let identity = json!({ "methods": ["password"], "password": { "user": user } });
            match project {
                None => json!({ "identity": identity }),
                Some(project) => {
                    let project = in_domain(project, project_domain);
                    json!({ "identity": identity, "scope": { "project": project } })
                }
            }
        }
        Login::Token(token) => {
            json!({ "identity": { "methods": ["token"], "token": { "id": token.text() } } })
        }
        Login::ApplicationCredential { credential, user, secret } => {
            let mut own = named(credential);
            if let (Some(own), Some((user, domain))) = (own.as_object_mut(), user) {
                own.insert("user".to_owned(), in_domain(user, domain));
            }
            if let Some(own) = own.as_object_mut() {
                own.insert("secret".to_owned(), Json::from(secret.text()));
            }
            let identity = json!({ "methods": ["application_credential"], "application_credential": own });
            json!({ "identity": identity })
        }
    };
    Call::post("/v3/auth/tokens", json!({ "auth": auth }))
}

fn named(what: &Named) -> Json {
    match what {
        Named::Id(id) => json!({ "id": id }),
        Named::Name(name) => json!({ "name": name }),
    }
}

/// Returns the JSON that names a user or a project. A name is unique in its domain; an id is unique everywhere.
fn in_domain(what: &Named, domain: &Named) -> Json {
    match what {
        Named::Id(id) => json!({ "id": id }),
        Named::Name(name) => json!({ "name": name, "domain": named(domain) }),
    }
}

pub(super) fn find<'a>(name: &'a str, domain: &'a str) -> Call<'a> {
    Call::get("/v3/projects", vec![("name", name), ("domain_id", domain)])
}

pub(super) fn make(name: &str, domain: &str) -> Call<'static> {
    let project =
        json!({ "name": name, "domain_id": domain, "description": "made by midoform", "enabled": true });
    Call::post("/v3/projects", json!({ "project": project }))
}
