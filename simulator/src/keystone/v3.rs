//! Identity v3, as Keystone 30 speaks it.

use serde_json::{Map, Value as Json, json};

use super::directory::{BadToken, Directory, Project, ProjectError, Token, id_of, shown};
use super::{
    Call, Caller, Keystone, Outcome, bad_token, caller, error, forbidden, is_admin, missing, no_project,
    reply, unauthorized,
};
use crate::http::path::query;
use crate::http::reply::Reply;

/// The role that each role implies.
const IMPLIED: [(&str, &str); 3] = [("admin", "manager"), ("manager", "member"), ("member", "reader")];
/// The authentication methods that the error about an unsupported method lists.
const METHODS: [&str; 7] =
    ["external", "password", "token", "oauth1", "mapped", "application_credential", "ec2credential"];
/// The strings that Keystone accepts as a boolean.
const FLAGS: [&str; 19] = [
    "True", "TRUE", "true", "False", "FALSE", "false", "", "1", "0", "y", "Y", "n", "N", "on", "ON", "off",
    "OFF", "yes", "no",
];

pub(super) fn version(base: &str) -> Json {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{ "rel": "self", "href": format!("{base}/v3/") }],
        "media-types": [{ "base": "application/json", "type": "application/vnd.openstack.identity-v3+json" }],
    })
}

pub(super) fn nowhere() -> Box<Reply> {
    let page = "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The requested URL was \
                not found on the server. If you entered the URL manually please check your spelling and try again.</p>\n";
    Box::new(Reply::with(404, "text/html; charset=utf-8", page.as_bytes().to_vec()))
}

fn not_allowed(allow: &'static str) -> Box<Reply> {
    let body = json!({ "message": "The method is not allowed for the requested URL." });
    Box::new(Reply { allow: Some(allow), ..Reply::json(405, "application/json", &body) })
}

impl Keystone {
    pub(super) fn v3(&self, call: &Call<'_>) -> Reply {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        let outcome = match (path.as_slice(), call.method) {
            ([], "GET") => Ok(reply(200, &json!({ "version": version(&call.base) }))),
            ([], _) => Err(not_allowed("OPTIONS, HEAD, GET")),
            (["auth", "tokens"], "POST") => self.authenticate(call),
            (["auth", "tokens"], "GET") => self.validate(call),
            (["auth", "tokens"], "DELETE") => self.revoke(call),
            (["auth", "tokens"], _) => Err(not_allowed("OPTIONS, DELETE, POST, HEAD, GET")),
            (["projects"], "GET") => self.projects(call),
            (["projects"], "POST") => self.create_project(call),
            (["projects"], _) => Err(not_allowed("OPTIONS, POST, HEAD, GET")),
            (["projects", id], "GET") => self.project(call, id),
            (["projects", id], "PATCH") => self.change_project(call, id),
            (["projects", id], "DELETE") => self.delete_project(call, id),
            (["projects", _], _) => Err(not_allowed("OPTIONS, DELETE, HEAD, PATCH, GET")),
            _ => Err(nowhere()),
        };
        outcome.unwrap_or_else(|refusal| *refusal)
    }

    fn authenticate(&self, call: &Call<'_>) -> Outcome {
        let auth = call.object()?.get("auth").filter(|auth| !auth.is_null());
        let auth = auth.ok_or_else(|| missing("auth", "request body"))?;
        let refused = || unauthorized(&format!("{}/v3", call.base));
        let identity = auth.get("identity").ok_or_else(|| error(400, "'identity' is a required property"))?;
        let methods: Vec<&str> = identity
            .get("methods")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        let mut directory = self.lock();
        let (user, parent) = match methods.first() {
            None => return Err(error(400, "'methods' is a required property")),
            Some(&"password") => (password(&directory, identity, refused)?, None),
            Some(&"token") => {
                let id = identity.pointer("/token/id").and_then(Json::as_str);
                let id = id.ok_or_else(|| missing("token", "identity"))?;
                let parent =
                    directory.token(id).map_err(|bad| bad_token(bad, "Could not recognize Fernet token"))?;
                (parent.user.clone(), Some(parent.clone()))
            }
            Some(_) => {
                let body = json!({ "error": {
                    "code": 401,
                    "identity": { "methods": METHODS },
                    "message": "Attempted to authenticate with an unsupported method.",
                    "title": "Unauthorized",
                }});
                let uri = format!("Keystone uri=\"{}/v3\"", call.base);
                return Err(Box::new(reply(401, &body).header("www-authenticate", uri)));
            }
        };
        let project = match auth.pointer("/scope/project") {
            None => None,
            Some(scope) => {
                let project = scoped(&directory, scope).filter(|project| project.enabled);
                let project = project.filter(|project| !directory.roles(&user, project).is_empty());
                Some(project.ok_or_else(refused)?.id.clone())
            }
        };
        let token = directory.issue(&user, project.as_deref(), parent.as_ref());
        Ok(reply(201, &self.token_json(&directory, &token)).header("x-subject-token", token.id))
    }

    /// Returns the sender of a request, or refuses a request without a valid token.
    fn caller_of(&self, directory: &Directory, call: &Call<'_>) -> Outcome<Caller> {
        caller(directory, call.token).ok_or_else(|| unauthorized(&format!("{}/v3", call.base)))
    }

    /// Refuses a sender who is not an administrator.
    fn require_admin(&self, directory: &Directory, call: &Call<'_>, action: &str) -> Outcome<()> {
        let caller = self.caller_of(directory, call)?;
        if is_admin(directory, &caller) { Ok(()) } else { Err(forbidden(action)) }
    }

    /// Returns the token that a request is about. Administrators have access to all tokens, others to their own.
    fn subject(&self, directory: &Directory, call: &Call<'_>, action: &str) -> Outcome<Token> {
        let caller = self.caller_of(directory, call)?;
        let unknown = "Could not recognize Fernet token";
        let id = call.subject.ok_or_else(|| bad_token(BadToken::Unknown, "No token in the request"))?;
        let own = matches!(&caller, Caller::Bearer(token) if token.id == id);
        if !own && !is_admin(directory, &caller) {
            return Err(forbidden(action));
        }
        directory.token(id).cloned().map_err(|bad| bad_token(bad, unknown))
    }

    fn validate(&self, call: &Call<'_>) -> Outcome {
        let directory = self.lock();
        let token = self.subject(&directory, call, "identity:validate_token")?;
        Ok(reply(200, &self.token_json(&directory, &token)).header("x-subject-token", token.id))
    }

    fn revoke(&self, call: &Call<'_>) -> Outcome {
        let mut directory = self.lock();
        let token = self.subject(&directory, call, "identity:revoke_token")?;
        directory.revoke(&token.id);
        Ok(Reply::status(204))
    }

    fn projects(&self, call: &Call<'_>) -> Outcome {
        let directory = self.lock();
        self.require_admin(&directory, call, "identity:list_projects")?;
        let wanted = |name: &str| query(call.query, name);
        let enabled = wanted("enabled").map(|flag| is_true(&flag));
        let found: Vec<Json> = directory
            .projects()
            .filter(|project| wanted("name").is_none_or(|name| project.name == name))
            .filter(|project| enabled.is_none_or(|enabled| project.enabled == enabled))
            .filter(|_| {
                ["domain_id", "parent_id"].iter().all(|name| wanted(name).is_none_or(|id| id == "default"))
            })
            .filter(|_| wanted("is_domain").is_none_or(|flag| !is_true(&flag)))
            .map(|project| project_json(project, &call.base))
            .collect();
        let question = call.query.map(|query| format!("?{query}")).unwrap_or_default();
        let own = format!("{}/v3/projects{question}", call.base);
        let links = json!({ "next": null, "self": own, "previous": null });
        Ok(reply(200, &json!({ "projects": found, "links": links })))
    }

    fn project(&self, call: &Call<'_>, id: &str) -> Outcome {
        let directory = self.lock();
        let caller = self.caller_of(&directory, call)?;
        let own = matches!(&caller, Caller::Bearer(token) if token.project.as_deref() == Some(id));
        if !own && !is_admin(&directory, &caller) {
            return Err(forbidden("identity:get_project"));
        }
        let project = directory.project(id).ok_or_else(|| no_project(id))?;
        Ok(reply(200, &json!({ "project": project_json(project, &call.base) })))
    }

    fn create_project(&self, call: &Call<'_>) -> Outcome {
        let body = call.object()?;
        let mut directory = self.lock();
        self.require_admin(&directory, call, "identity:create_project")?;
        let fields = body
            .get("project")
            .and_then(Json::as_object)
            .ok_or_else(|| missing("project", "request body"))?;
        let name = fields.get("name").ok_or_else(|| {
            invalid("project", &Json::Object(fields.clone()), "'name' is a required property")
        })?;
        check(fields)?;
        if let Some(domain) =
            fields.get("domain_id").and_then(Json::as_str).filter(|domain| *domain != "default")
        {
            return Err(error(400, &format!("Could not find domain: {domain}.")));
        }
        let mut project = Project {
            id: uuid::Uuid::new_v4().simple().to_string(),
            name: name.as_str().unwrap_or_default().to_owned(),
            description: Json::from(""),
            enabled: true,
            extra: Map::new(),
        };
        fill(&mut project, fields);
        let taken = conflict(&project.name, &project.id);
        let created = directory.create(project).map_err(|refused| refusal(refused, "", taken))?;
        Ok(reply(201, &json!({ "project": project_json(&created, &call.base) })))
    }

    fn change_project(&self, call: &Call<'_>, id: &str) -> Outcome {
        let body = call.object()?;
        let mut directory = self.lock();
        let known = directory.project(id).is_some();
        let caller = self.caller_of(&directory, call)?;
        if !is_admin(&directory, &caller) {
            return Err(forbidden("identity:update_project"));
        }
        let fields = body
            .get("project")
            .and_then(Json::as_object)
            .ok_or_else(|| missing("project", "request body"))?;
        if !known {
            return Err(no_project(id));
        }
        check(fields)?;
        let name = fields.get("name").and_then(Json::as_str).unwrap_or_default();
        let taken = conflict(name, id);
        let created =
            directory.change(id, |project| fill(project, fields)).map_err(|why| refusal(why, id, taken))?;
        let mut shown = project_json(&created, &call.base);
        if let Some(map) = shown.as_object_mut() {
            map.insert("extra".to_owned(), json!({}));
        }
        Ok(reply(200, &json!({ "project": shown })))
    }

    fn delete_project(&self, call: &Call<'_>, id: &str) -> Outcome {
        let mut directory = self.lock();
        self.require_admin(&directory, call, "identity:delete_project")?;
        directory.delete(id).map_err(|why| refusal(why, id, no_project(id)))?;
        Ok(Reply::status(204))
    }

    fn token_json(&self, directory: &Directory, token: &Token) -> Json {
        let domain = json!({ "id": "default", "name": "Default" });
        let mut map = Map::new();
        let mut set = |name: &str, value: Json| drop(map.insert(name.to_owned(), value));
        set("methods", json!(token.methods));
        let id = id_of("user", &token.user);
        set("user", json!({ "domain": domain, "id": id, "name": token.user, "password_expires_at": null }));
        set("audit_ids", json!(token.audit_ids));
        set("expires_at", Json::from(shown(token.expires)));
        set("issued_at", Json::from(shown(token.issued)));
        if let Some(project) = token.project.as_deref().and_then(|id| directory.project(id)) {
            set("project", json!({ "domain": domain, "id": project.id, "name": project.name }));
            set("is_domain", Json::from(false));
            let roles = with_implied(directory.roles(&token.user, project));
            let roles: Vec<Json> =
                roles.iter().map(|role| json!({ "id": id_of("role", role), "name": role })).collect();
            set("roles", Json::from(roles));
            set("catalog", self.catalog());
        }
        json!({ "token": map })
    }

    fn catalog(&self) -> Json {
        let endpoint = |interface: &str| {
            json!({
                "id": id_of("endpoint", interface),
                "interface": interface,
                "region_id": "RegionOne",
                "url": format!("{}/v3", self.url),
                "region": "RegionOne",
            })
        };
        let endpoints = ["public", "internal", "admin"].map(endpoint);
        json!([{ "endpoints": endpoints, "id": id_of("service", "keystone"), "type": "identity", "name": "keystone" }])
    }
}

/// Returns the user whose name and password a body has.
fn password(directory: &Directory, identity: &Json, refused: impl Fn() -> Box<Reply>) -> Outcome<String> {
    let user = identity.get("password").ok_or_else(|| missing("password", "identity"))?.get("user");
    let user = user.ok_or_else(|| missing("user", "password"))?;
    let text = |name: &str| user.get(name).and_then(Json::as_str);
    let password = text("password").unwrap_or_default();
    let name = match (text("id"), text("name")) {
        (Some(id), _) => {
            directory.users.users.iter().find(|user| id_of("user", &user.name) == id).map(|user| &*user.name)
        }
        (None, Some(name)) => {
            let domain = user.get("domain").ok_or_else(|| missing("domain", "user"))?;
            let domain = (domain.get("id").and_then(Json::as_str), domain.get("name").and_then(Json::as_str));
            if !matches!(domain, (Some("default"), _) | (None, Some("Default"))) {
                return Err(refused());
            }
            Some(name)
        }
        (None, None) => return Err(missing("id or name", "user")),
    };
    let user = name.and_then(|name| directory.users.known(name, password));
    user.map(|user| user.name.clone()).ok_or_else(refused)
}

/// Returns the project that a scope names.
fn scoped<'a>(directory: &'a Directory, scope: &Json) -> Option<&'a Project> {
    match scope.get("id").and_then(Json::as_str) {
        Some(id) => directory.project(id),
        None => directory.project_named(scope.get("name")?.as_str()?),
    }
}

/// Returns roles with the roles that they imply.
fn with_implied(direct: &[String]) -> Vec<&str> {
    let mut roles: Vec<&str> = direct.iter().map(String::as_str).collect();
    for (role, implied) in IMPLIED {
        if roles.contains(&role) && !roles.contains(&implied) {
            roles.push(implied);
        }
    }
    roles
}

pub(super) fn project_json(project: &Project, base: &str) -> Json {
    let mut map = project.extra.clone();
    let mut set = |name: &str, value: Json| drop(map.insert(name.to_owned(), value));
    set("id", Json::from(&*project.id));
    set("name", Json::from(&*project.name));
    set("domain_id", Json::from("default"));
    set("description", project.description.clone());
    set("enabled", Json::from(project.enabled));
    set("parent_id", Json::from("default"));
    set("is_domain", Json::from(false));
    set("tags", json!([]));
    set("options", json!({}));
    set("links", json!({ "self": format!("{base}/v3/projects/{}", project.id) }));
    Json::Object(map)
}

/// Sets the fields of a project that a body has.
pub(super) fn fill(project: &mut Project, fields: &Map<String, Json>) {
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("name", Json::String(name)) => project.name.clone_from(name),
            ("description", value) => project.description = value.clone(),
            ("enabled", Json::Bool(flag)) => project.enabled = *flag,
            ("enabled", Json::String(flag)) => project.enabled = is_true(flag),
            (
                "id" | "domain_id" | "parent_id" | "is_domain" | "tags" | "options" | "links" | "enabled"
                | "name",
                _,
            ) => {}
            (name, value) => drop(project.extra.insert(name.to_owned(), value.clone())),
        }
    }
}

/// Checks the fields of a project.
fn check(fields: &Map<String, Json>) -> Outcome<()> {
    if let Some(name) = fields.get("name") {
        let why = match name {
            Json::String(text) if text.trim().is_empty() => format!("'{text}' should be non-empty"),
            Json::String(text) if text.chars().count() > 64 => format!("'{text}' is too long"),
            Json::String(_) => String::new(),
            other => format!("{other} is not of type 'string'"),
        };
        if !why.is_empty() {
            return Err(invalid("name", name, &why));
        }
    }
    match fields.get("enabled") {
        None | Some(Json::Bool(_)) => Ok(()),
        Some(Json::String(flag)) if FLAGS.contains(&flag.as_str()) => Ok(()),
        Some(other) => {
            let quoted = other.as_str().map_or_else(|| other.to_string(), |text| format!("'{text}'"));
            let known = "[True, 'True', 'TRUE', 'true', False, 'False', 'FALSE', 'false', '', '1', '0', 'y', 'Y', 'n', \
                         'N', 'on', 'ON', 'off', 'OFF', 'yes', 'no']";
            Err(invalid("enabled", other, &format!("{quoted} is not one of {known}")))
        }
    }
}

fn invalid(field: &str, value: &Json, why: &str) -> Box<Reply> {
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    error(400, &format!("Invalid input for field/attribute {field}. Value: {value}. {why}"))
}

fn conflict(name: &str, id: &str) -> Box<Reply> {
    let message = format!(
        "Conflict occurred attempting to store project - it is not permitted to have two projects with either the same \
         name or same id in the same domain: name is {name}, project id {id}."
    );
    error(409, &message)
}

pub(super) fn refusal(refused: ProjectError, id: &str, taken: Box<Reply>) -> Box<Reply> {
    match refused {
        ProjectError::Taken => taken,
        ProjectError::Missing => no_project(id),
        ProjectError::NotWritten(why) => error(500, &format!("The projects could not be written: {why}")),
    }
}

fn is_true(flag: &str) -> bool {
    !matches!(flag.to_ascii_lowercase().as_str(), "false" | "0" | "n" | "no" | "off" | "f")
}
