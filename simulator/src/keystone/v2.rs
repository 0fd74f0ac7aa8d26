//! Identity v2.0, as Keystone 12 spoke it to administrators.

use serde_json::{Map, Value as Json, json};

use super::directory::{Directory, Project, Token, id_of, shown};
use super::v3::{fill, refusal};
use super::{
    Call, Keystone, Outcome, bad_token, caller, error, forbidden, is_admin, missing, no_project, reply,
    unauthorized,
};
use crate::http::path::query;
use crate::http::reply::Reply;

pub(super) fn version(base: &str) -> Json {
    json!({
        "id": "v2.0",
        "status": "deprecated",
        "updated": "2016-08-04T00:00:00Z",
        "links": [
            { "rel": "self", "href": format!("{base}/v2.0/") },
            { "rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/" },
        ],
        "media-types": [{ "base": "application/json", "type": "application/vnd.openstack.identity-v2.0+json" }],
    })
}

impl Keystone {
    pub(super) fn v2(&self, call: &Call<'_>) -> Reply {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        let outcome = match (path.as_slice(), call.method) {
            ([], "GET") => Ok(reply(200, &json!({ "version": version(&call.base) }))),
            (["tokens"], "POST") => self.authenticate_v2(call),
            (["tokens", id], "GET") => self.validate_v2(call, id),
            (["tokens", id], "DELETE") => self.revoke_v2(call, id),
            (["tenants"], "GET") => self.tenants(call),
            (["tenants"], "POST") => self.create_tenant(call),
            (["tenants", id], "GET") => self.tenant(call, id),
            (["tenants", id], "POST" | "PUT") => self.change_tenant(call, id),
            (["tenants", id], "DELETE") => self.delete_tenant(call, id),
            _ => {
                let url = format!("{}/v2.0/{}", call.base, call.path.join("/"));
                Err(error(404, &format!("({url}): The resource could not be found.")))
            }
        };
        outcome.unwrap_or_else(|refusal| *refusal)
    }

    fn authenticate_v2(&self, call: &Call<'_>) -> Outcome {
        let auth = call.object()?.get("auth").and_then(Json::as_object).filter(|auth| !auth.is_empty());
        let auth = auth.ok_or_else(|| missing("auth", "request body"))?;
        let refused = || unauthorized(&call.base);
        let mut directory = self.lock();
        let (user, parent) = if let Some(token) = auth.get("token") {
            let id = token.get("id").and_then(Json::as_str).ok_or_else(|| missing("id", "token"))?;
            let parent = directory.token(id).map_err(|_| refused())?.clone();
            (parent.user.clone(), Some(parent))
        } else {
            let credentials = auth.get("passwordCredentials").ok_or_else(refused)?;
            let text = |name: &str| credentials.get(name).and_then(Json::as_str);
            let password = text("password").ok_or_else(|| missing("password", "passwordCredentials"))?;
            let name = match (text("username"), text("userId")) {
                (Some(name), _) => Some(name),
                (None, Some(id)) => {
                    let users = &directory.users.users;
                    users.iter().find(|user| id_of("user", &user.name) == id).map(|user| user.name.as_str())
                }
                (None, None) => return Err(missing("username or userId", "passwordCredentials")),
            };
            let user = name.and_then(|name| directory.users.known(name, password)).ok_or_else(refused)?;
            (user.name.clone(), None)
        };
        let text = |name: &str| auth.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
        let project = match (text("tenantId"), text("tenantName")) {
            (None, None) => None,
            (Some(id), _) => Some(directory.project(id)),
            (None, Some(name)) => Some(directory.project_named(name)),
        };
        let project = match project {
            None => None,
            Some(project) => {
                let project = project.filter(|project| project.enabled);
                let project = project.filter(|project| !directory.roles(&user, project).is_empty());
                Some(project.ok_or_else(refused)?.id.clone())
            }
        };
        let token = directory.issue(&user, project.as_deref(), parent.as_ref());
        Ok(reply(200, &self.access(&directory, &token)))
    }

    /// Refuses a sender who is not an administrator.
    fn require_admin_v2(&self, directory: &Directory, call: &Call<'_>, action: &str) -> Outcome<()> {
        let caller = caller(directory, call.token).ok_or_else(|| unauthorized(&call.base))?;
        if is_admin(directory, &caller) { Ok(()) } else { Err(forbidden(action)) }
    }

    fn validate_v2(&self, call: &Call<'_>, id: &str) -> Outcome {
        let directory = self.lock();
        self.require_admin_v2(&directory, call, "identity:validate_token")?;
        let unknown = format!("This is not a recognized Fernet token {id}");
        let token = directory.token(id).map_err(|bad| bad_token(bad, &unknown))?;
        Ok(reply(200, &self.access(&directory, token)))
    }

    fn revoke_v2(&self, call: &Call<'_>, id: &str) -> Outcome {
        let mut directory = self.lock();
        self.require_admin_v2(&directory, call, "identity:revoke_token")?;
        let unknown = format!("This is not a recognized Fernet token {id}");
        directory.token(id).map_err(|bad| bad_token(bad, &unknown))?;
        directory.revoke(id);
        Ok(Reply::status(204))
    }

    /// Lists the tenants after a marker up to a limit, or returns the tenant with a name.
    fn tenants(&self, call: &Call<'_>) -> Outcome {
        let directory = self.lock();
        self.require_admin_v2(&directory, call, "admin_required")?;
        if let Some(name) = query(call.query, "name") {
            let project = directory.project_named(&name).ok_or_else(|| no_project(&name))?;
            return Ok(reply(200, &json!({ "tenant": tenant_json(project) })));
        }
        let skipped = match query(call.query, "marker") {
            None => 0,
            Some(marker) => {
                let place = directory.projects().position(|project| project.id == marker);
                place.ok_or_else(|| error(400, "Marker could not be found"))? + 1
            }
        };
        let limit = match query(call.query, "limit").map(|limit| limit.parse::<usize>()) {
            None => usize::MAX,
            Some(Ok(limit)) => limit,
            Some(Err(_)) => return Err(error(400, "Invalid limit value")),
        };
        let tenants: Vec<Json> = directory.projects().skip(skipped).take(limit).map(tenant_json).collect();
        Ok(reply(200, &json!({ "tenants": tenants, "tenants_links": [] })))
    }

    fn tenant(&self, call: &Call<'_>, id: &str) -> Outcome {
        let directory = self.lock();
        self.require_admin_v2(&directory, call, "admin_required")?;
        let project = directory.project(id).ok_or_else(|| no_project(id))?;
        Ok(reply(200, &json!({ "tenant": tenant_json(project) })))
    }

    fn create_tenant(&self, call: &Call<'_>) -> Outcome {
        let body = call.object()?;
        let mut directory = self.lock();
        self.require_admin_v2(&directory, call, "admin_required")?;
        let fields =
            body.get("tenant").and_then(Json::as_object).ok_or_else(|| missing("tenant", "request body"))?;
        if !fields.contains_key("name") {
            return Err(error(400, "'name' is a required property"));
        }
        check(fields)?;
        let mut project = Project {
            id: String::new(),
            name: String::new(),
            description: Json::from(""),
            enabled: true,
            extra: Map::new(),
        };
        fill(&mut project, fields);
        let taken = conflict(&project.name);
        let created = directory.create(project).map_err(|why| refusal(why, "", taken))?;
        Ok(reply(200, &json!({ "tenant": tenant_json(&created) })))
    }

    fn change_tenant(&self, call: &Call<'_>, id: &str) -> Outcome {
        let body = call.object()?;
        let mut directory = self.lock();
        self.require_admin_v2(&directory, call, "admin_required")?;
        let fields =
            body.get("tenant").and_then(Json::as_object).ok_or_else(|| missing("tenant", "request body"))?;
        check(fields)?;
        let taken = conflict(fields.get("name").and_then(Json::as_str).unwrap_or_default());
        let created =
            directory.change(id, |project| fill(project, fields)).map_err(|why| refusal(why, id, taken))?;
        let mut shown = tenant_json(&created);
        if let Some(map) = shown.as_object_mut() {
            map.insert("extra".to_owned(), json!({}));
        }
        Ok(reply(200, &json!({ "tenant": shown })))
    }

    fn delete_tenant(&self, call: &Call<'_>, id: &str) -> Outcome {
        let mut directory = self.lock();
        self.require_admin_v2(&directory, call, "admin_required")?;
        directory.delete(id).map_err(|why| refusal(why, id, no_project(id)))?;
        Ok(Reply::status(204))
    }

    fn access(&self, directory: &Directory, token: &Token) -> Json {
        let mut shown_token = Map::new();
        let mut set = |name: &str, value: Json| drop(shown_token.insert(name.to_owned(), value));
        set("expires", Json::from(shown(token.expires)));
        set("issued_at", Json::from(shown(token.issued)));
        set("audit_ids", json!(token.audit_ids));
        set("id", Json::from(&*token.id));
        let project = token.project.as_deref().and_then(|id| directory.project(id));
        let mut roles: &[String] = &[];
        let mut catalog = json!([]);
        if let Some(project) = project {
            set("tenant", tenant_json(project));
            roles = directory.roles(&token.user, project);
            let url = format!("{}/v2.0", self.url);
            let id = id_of("endpoint", "v2.0");
            let endpoint = json!({ "id": id, "publicURL": url, "internalURL": url, "adminURL": url, "region": "RegionOne" });
            catalog = json!([
                { "name": "keystone", "type": "identity", "endpoints_links": [], "endpoints": [endpoint] }
            ]);
        }
        let names: Vec<Json> = roles.iter().map(|role| json!({ "name": role })).collect();
        let ids: Vec<String> = roles.iter().map(|role| id_of("role", role)).collect();
        json!({ "access": {
            "token": shown_token,
            "user": {
                "id": id_of("user", &token.user),
                "name": token.user,
                "username": token.user,
                "roles": names,
                "roles_links": [],
            },
            "serviceCatalog": catalog,
            "metadata": { "roles": ids, "is_admin": 0 },
        }})
    }
}

fn tenant_json(project: &Project) -> Json {
    let mut map = project.extra.clone();
    let mut set = |name: &str, value: Json| drop(map.insert(name.to_owned(), value));
    set("id", Json::from(&*project.id));
    set("name", Json::from(&*project.name));
    set("description", project.description.clone());
    set("enabled", Json::from(project.enabled));
    Json::Object(map)
}

fn check(fields: &Map<String, Json>) -> Outcome<()> {
    let why = match fields.get("name") {
        None => return Ok(()),
        Some(Json::String(name)) if name.trim().is_empty() => format!("'{name}' is too short"),
        Some(Json::String(name)) if name.chars().count() > 64 => format!("'{name}' is too long"),
        Some(Json::String(_)) => return Ok(()),
        Some(other) => format!("{other} is not of type 'string'"),
    };
    Err(error(400, &format!("Invalid input for field 'name': {why}")))
}

fn conflict(name: &str) -> Box<Reply> {
    let message = format!(
        "Conflict occurred attempting to store project - it is not permitted to have two projects with the same name in \
         the same domain : {name}."
    );
    error(409, &message)
}
