//! The operations: what each method does to what a path names.
//!
//! An operation is handed the parts of a request, looks at or changes the state, and says what to answer. What is
//! forbidden or follows by itself is decided by [`crate::integrity`]; how a refusal reads, by [`crate::failure`].

mod bindings;
mod change;
mod create;
mod members;
mod ports;
mod read;
mod routes;
mod rules;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value as Json;
use uuid::Uuid;

use crate::failure::{Failure, Operation};
use crate::http::deserialize::{self, Draft};
use crate::http::jackson;
use crate::http::media_type::{self, ContentTypeError, Offer, Purpose};
use crate::http::path::Target;
use crate::http::reply::{Reply, Representation};
use crate::journal::{Journal, Ticket};
use crate::object::Object;
use crate::resources::{application, system_state, tenant};
use crate::schema::Kind;
use crate::state::{State, Transaction};
use crate::version::{Negotiation, Version};

/// The methods that resources have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Delete,
    Other,
}

/// The parts of a request that an operation looks at.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) query: Option<&'a str>,
    pub(crate) accept: Option<&'a str>,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) body: &'a [u8],
    /// Where the API is, as the client sees it: what links start with.
    pub(crate) base: Arc<str>,
    /// The tenants by id and name, where somebody but the API knows them.
    pub(crate) tenants: Option<Vec<(String, String)>>,
}

/// What operations work on.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) version: Version,
    pub(crate) state: Mutex<State>,
    pub(crate) journal: Journal,
}

/// An answer, to be given when what it acknowledges is kept.
pub(crate) type Outcome = Result<(Reply, Option<Ticket>), Failure>;

impl Api {
    /// Carries a request out.
    pub(crate) fn execute(&self, call: &Call<'_>) -> Outcome {
        if let Some(refusal) = self.refuse_method(call) {
            return Err(refusal);
        }
        match (call.method, &call.target) {
            (Method::Get, _) => self.read(call).map(|reply| (reply, None)),
            (Method::Post, Target::Collection(kind)) => self.create(call, *kind),
            (Method::Post, Target::ChildCollection(parent, id, kind)) => {
                self.create_child(call, *parent, id, *kind)
            }
            (Method::Post, Target::Link(id)) => self.link(call, id),
            (Method::Put, Target::Object(kind, id)) => self.replace(call, *kind, id),
            (Method::Delete, Target::Object(kind, id)) => self.delete(*kind, id),
            (Method::Delete, Target::Link(id)) => self.unlink(id),
            (Method::Delete, Target::Child(parent, id, kind, child)) => {
                self.delete_child(*parent, id, *kind, child)
            }
            (Method::Delete, Target::Address(group, version, address)) => {
                self.delete_address(group, version, address)
            }
            _ => Err(Failure::StatusOnly(405)),
        }
    }

    /// Locks the state. Nothing panics while it holds the lock, and a half made change would have been taken back.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a change stand and hands it to the journal, in the order in which changes were made: the state's lock is
    /// still held.
    fn commit(&self, change: Transaction<'_>) -> Option<Ticket> {
        let changes = change.commit();
        (!changes.is_empty()).then(|| self.journal.submit(changes))
    }

    /// Methods that a resource does not have (10-bad-input, steps 8 and 9; 04-chain-rule, step 18; 16-lists, 4 and 5).
    fn refuse_method(&self, call: &Call<'_>) -> Option<Failure> {
        use Kind as K;
        use Method::{Delete, Get, Other, Post, Put};
        let generic_lacks = match (call.method, &call.target) {
            (Other, _) => return Some(Failure::StatusOnly(405)),
            (Get, Target::Collection(kind)) => matches!(kind, K::Rule | K::Route),
            (Post, Target::Collection(kind)) => matches!(kind, K::Rule | K::Route | K::Port | K::Host),
            (Put, Target::Object(K::PortGroup, _)) => !self.version.traits().port_groups_change,
            (Put, Target::Object(kind, _)) => {
                !matches!(kind, K::Router | K::Bridge | K::Port | K::TunnelZone | K::Host)
            }
            (Post, Target::Tenants) | (Put | Delete, Target::Tenant(_)) if !self.version.traits().is_1x => {
                return Some(self.refuse_tenant_change(call));
            }
            (Get | Delete, Target::Object(..) | Target::Child(..) | Target::Address(..)) => false,
            (Get | Post, Target::ChildCollection(..)) | (Post | Delete, Target::Link(_)) => false,
            (Get, Target::PeerPorts(..) | Target::GroupsOf(_)) => false,
            (Get, Target::Root | Target::SystemState | Target::Tenants | Target::Tenant(_)) => false,
            _ => return Some(Failure::StatusOnly(405)),
        };
        generic_lacks.then(|| {
            if self.version.traits().lacking_method_crashes {
                Failure::Crash("java.lang.NullPointerException".to_owned())
            } else {
                Failure::StatusOnly(405)
            }
        })
    }

    /// 5.x says that it does not change tenants, to a body of their type or to none.
    fn refuse_tenant_change(&self, call: &Call<'_>) -> Failure {
        let offers = media_type::named(&[&self.tenant_type("")]);
        match media_type::check_body_type(false, call.content_type, &offers) {
            Err(_) if call.method != Method::Delete => Failure::StatusOnly(415),
            _ => Failure::Message { status: 405, message: tenant::UNMODIFIABLE.to_owned() },
        }
    }

    fn tenant_type(&self, infix: &str) -> String {
        format!("application/vnd.org.midonet.{infix}Tenant-v{}+json", self.version.traits().tenant_revision)
    }

    /// Whether 5.x serves a target by its generic resource, which looks at media types in its own way.
    fn is_generic(&self, target: &Target) -> bool {
        !self.version.traits().is_1x
            && match target {
                Target::Collection(_) | Target::Object(..) => true,
                Target::ChildCollection(_, _, kind) => matches!(kind, Kind::Port | Kind::Rule | Kind::Route),
                _ => false,
            }
    }

    /// How `Accept` is read for a target; the routes of a router are listed by hand.
    fn negotiation(&self, target: &Target) -> Negotiation {
        if self.is_generic(target) && !matches!(target, Target::ChildCollection(_, _, Kind::Route)) {
            self.version.traits().negotiation
        } else {
            Negotiation::Weighed
        }
    }

    /// Reads a body as a draft of `kind`: first its type, then its JSON.
    fn draft(&self, call: &Call<'_>, kind: Kind) -> Result<Draft, Failure> {
        let located = self.body(call, &media_type::offers(kind, self.version, Purpose::Body))?;
        let draft = deserialize::draft(kind, self.version, &located.value).map_err(Failure::Body)?;
        located.checked.map(|()| draft)
    }

    fn body(&self, call: &Call<'_>, offers: &[Offer]) -> Result<Body, Failure> {
        let checked =
            match media_type::check_body_type(self.is_generic(&call.target), call.content_type, offers) {
                Err(ContentTypeError::Unreadable) => return Err(Failure::StatusOnly(415)),
                Err(ContentTypeError::WrongJson) => Err(Failure::StatusOnly(406)),
                Ok(()) => Ok(()),
            };
        let value = jackson::read(call.body).map_err(Failure::Body)?;
        Ok(Body { value, checked })
    }

    /// An id in a path, where the server wants a UUID before it looks for anything.
    fn path_id(text: &str) -> Result<Uuid, Failure> {
        uuid_of(text).ok_or_else(|| Failure::BadPathId(text.to_owned()))
    }

    /// The thing that a path names; 5.x takes any text for an id and does not find it (01-login, step 6).
    fn find(
        &self,
        state: &State,
        kind: Kind,
        id: &str,
        operation: Operation,
    ) -> Result<Arc<Object>, Failure> {
        let found = uuid_of(id);
        if found.is_none() && self.version.traits().is_1x {
            return Err(Failure::BadPathId(id.to_owned()));
        }
        found.and_then(|id| state.get(kind, id)).cloned().ok_or_else(|| Failure::Missing {
            class: kind.class(),
            kind: Some(kind),
            id: id.to_owned(),
            operation,
        })
    }

    /// The form of answers in the chosen type.
    fn form(&self, offer: &Offer) -> Representation {
        Representation { version: self.version, older: offer.older }
    }

    fn root(&self, call: &Call<'_>) -> Result<Reply, Failure> {
        let names: Vec<String> = (1..=5)
            .rev()
            .map(|number| format!("application/vnd.org.midonet.Application-v{number}+json"))
            .chain([media_type::JSON.to_owned()])
            .collect();
        let offers = media_type::named(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let offer = media_type::choose(Negotiation::Weighed, call.accept, &offers)?;
        Ok(Reply::json(200, &offer.name, &application::shown(&call.base, self.version)))
    }

    fn system_state(&self, call: &Call<'_>) -> Result<Reply, Failure> {
        let mut offers =
            media_type::named(&["application/vnd.org.midonet.SystemState-v2+json", media_type::JSON]);
        if self.version.traits().is_1x {
            offers.extend(media_type::named(&["application/vnd.org.midonet.SystemState-v1+json"]));
        }
        let offer = media_type::choose(Negotiation::Weighed, call.accept, &offers)?;
        Ok(Reply::json(200, &offer.name, &system_state::shown(self.version, &call.base)))
    }

    /// Tenants: 406 to plain JSON (15-tenants; 16-lists, step 10).
    fn tenants(&self, call: &Call<'_>, one: Option<&str>) -> Result<Reply, Failure> {
        let infix = if one.is_some() { "" } else { "collection." };
        let offers = media_type::named(&[&self.tenant_type(infix)]);
        let offer = media_type::choose(Negotiation::Weighed, call.accept, &offers)?;
        let show = |(id, name): &(String, String)| tenant::shown(self.version, &call.base, id, name, None);
        // The mock provider describes a tenant by its name.
        let mock = |name: &str| tenant::shown(self.version, &call.base, name, name, Some(name));
        let body = match (one, &call.tenants) {
            // Under the mock provider every name is a tenant (step 2).
            (Some(name), None) => mock(name),
            (Some(id), Some(known)) => {
                let found = known.iter().find(|(known, _)| known == id);
                found.map(show).ok_or_else(|| Failure::Message {
                    status: 404,
                    message: "The requested resource was not found.".to_owned(),
                })?
            }
            (None, Some(known)) => known.iter().map(show).collect(),
            // 5.x lists none of them (not recorded).
            (None, None) if !self.version.traits().is_1x => Json::Array(Vec::new()),
            (None, None) => self.tenant_names().iter().map(|name| mock(name)).collect(),
        };
        Ok(Reply::json(200, &offer.name, &body))
    }

    fn tenant_names(&self) -> std::collections::BTreeSet<String> {
        let state = self.lock();
        [Kind::Router, Kind::Bridge, Kind::Chain, Kind::PortGroup]
            .into_iter()
            .flat_map(|kind| state.all(kind))
            .filter_map(|object| object.text("tenantId").map(str::to_owned))
            .collect()
    }
}

/// A body that was read, and whether its type was one to take.
struct Body {
    value: jackson::Located,
    checked: Result<(), Failure>,
}

/// A UUID in its usual form, and in no other.
pub(crate) fn uuid_of(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}
