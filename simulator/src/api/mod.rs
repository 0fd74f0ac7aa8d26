//! Executes calls: an HTTP method on the resource that the path names.
//!
//! An operation gets the parts of a request, reads or changes the state, and returns the reply. [`crate::integrity`]
//! has the rules about references, [`crate::failure`] the words of errors.

mod bgp;
mod bindings;
mod change;
mod create;
mod dhcp;
mod media_type;
mod members;
mod port_records;
mod ports;
mod read;
mod routes;
mod rules;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;
use uuid::Uuid;

use crate::agent::Agents;
use crate::failure::{Failure, Operation};
use crate::http::deserialize::{self, Draft};
use crate::http::jackson;
use crate::http::path::Target;
use crate::http::reply::{Reply, Representation};
use crate::journal::{Journal, Ticket};
use crate::object::{Object, Value};
use crate::resources::{application, system_state, tenant};
use crate::schema::Kind;
use crate::state::{State, Transaction};
use crate::version::{Negotiation, Version};

use media_type::{ContentTypeError, Offer, Purpose};

/// The time in which 1.7 writes the record of a port that it has read. A whole write takes it about 4 ms (README, 13).
pub(crate) const WRITING: Duration = Duration::from_millis(1);

/// The HTTP methods that resources have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Delete,
    Other,
}

/// The parts of a request that an operation needs.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) query: Option<&'a str>,
    pub(crate) accept: Option<&'a str>,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) body: &'a [u8],
    /// The base URL of the API as the client sees it, for links.
    pub(crate) base: Arc<str>,
    /// The records of the ports that the call writes, as they were when it arrived (1.7).
    pub(crate) port_records: Vec<Arc<Object>>,
    /// The tenants by id and name, if the authentication provider has a list of them.
    pub(crate) tenants: Option<Vec<(String, String)>>,
}

/// The state that operations read and change.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) version: Version,
    pub(crate) state: Mutex<State>,
    pub(crate) journal: Journal,
    /// The hosts' agents, if the server plays their part.
    pub(crate) agents: Option<Mutex<Agents>>,
}

/// A reply, with the ticket to wait for before it is sent, or a refusal.
pub(crate) type Outcome = Result<(Reply, Option<Ticket>), Failure>;

impl Api {
    /// Executes a call.
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
            (Method::Delete, Target::Object(kind, id)) => self.delete(call, *kind, id),
            (Method::Delete, Target::Link(id)) => self.unlink(call, id),
            (Method::Delete, Target::Child(parent, id, kind, child)) => {
                self.delete_child(call, *parent, id, *kind, child)
            }
            (Method::Delete, Target::Address(group, version, address)) => {
                self.delete_address(call, group, version, address)
            }
            _ => Err(Failure::StatusOnly(405)),
        }
    }

    /// Locks the state. A poisoned lock is no danger: an unfinished transaction was rolled back.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits a transaction and queues its changes in the journal. The state is still locked, so the journal has the
    /// same order.
    fn commit(&self, call: &Call<'_>, mut change: Transaction<'_>) -> Option<Ticket> {
        for read in &call.port_records {
            change.write_over(read);
        }
        if let Some(agents) = &self.agents {
            self.show_to_agents(&mut agents.lock().unwrap_or_else(PoisonError::into_inner), &mut change);
        }
        let changes = change.commit();
        (!changes.is_empty()).then(|| self.journal.submit(changes))
    }

    /// Shows a transaction to the agents, and sets the flag of the ports that they bind. 1.7 has no such flag.
    fn show_to_agents(&self, agents: &mut Agents, change: &mut Transaction<'_>) {
        for (before, now) in change.changed() {
            agents.observe(before.as_deref(), now.as_deref());
            let Some(port) = now.filter(|now| now.kind == Kind::Port && !self.version.traits().is_1x) else {
                continue;
            };
            let active = agents.is_active(&port).then_some(Value::Flag(true));
            change.set(Kind::Port, port.id, "active", active.unwrap_or(Value::Null));
        }
    }

    /// Returns the refusal of a method that a resource does not have (10-bad-input, steps 8 and 9; 04-chain-rule, step
    /// 18; 16-lists, 4 and 5).
    fn refuse_method(&self, call: &Call<'_>) -> Option<Failure> {
        use Kind as K;
        use Method::{Delete, Get, Other, Post, Put};
        let generic_lacks = match (call.method, &call.target) {
            (Other, _) => return Some(Failure::StatusOnly(405)),
            (Get, Target::Collection(kind)) => is_of_a_parent(*kind),
            (Post, Target::Collection(kind)) => is_of_a_parent(*kind) || matches!(kind, K::Port | K::Host),
            (Put, Target::Object(K::PortGroup, _)) => !self.version.traits().port_groups_change,
            (Put, Target::Object(kind, _)) => !matches!(
                kind,
                K::Router | K::Bridge | K::Port | K::TunnelZone | K::Host | K::LoadBalancer | K::BgpPeer
            ),
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

    /// Returns the refusal of a change of tenants on 5.x: 405, or 415 for a body of another type.
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

    /// Returns true if 5.x serves a target with its generic resource code, which reads media types in its own way.
    fn is_generic(&self, target: &Target) -> bool {
        !self.version.traits().is_1x
            && match target {
                Target::Collection(_) | Target::Object(..) => true,
                Target::ChildCollection(_, _, kind) => matches!(
                    kind,
                    Kind::Port
                        | Kind::Rule
                        | Kind::Route
                        | Kind::BgpPeer
                        | Kind::BgpNetwork
                        | Kind::DhcpSubnet
                        | Kind::DhcpSubnet6
                ),
                _ => false,
            }
    }

    /// Returns the way in which `Accept` is read for a target. The lists of a router's routes and of a bridge's DHCP subnets
    /// do not use the generic code (the latter is not recorded).
    fn negotiation(&self, target: &Target) -> Negotiation {
        let own_list = matches!(
            target,
            Target::ChildCollection(_, _, Kind::Route | Kind::DhcpSubnet | Kind::DhcpSubnet6)
        );
        if self.is_generic(target) && !own_list {
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

    /// Reads an id in a path, where the server requires a UUID.
    fn path_id(text: &str) -> Result<Uuid, Failure> {
        uuid_of(text).ok_or_else(|| Failure::BadPathId(text.to_owned()))
    }

    /// Returns the object that a path names. On 5.x an id that is not a UUID is not found (01-login, step 6).
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

    /// Returns the representation for a media type.
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

    /// Lists tenants, or reads one; 406 for plain JSON (15-tenants; 16-lists, step 10).
    fn tenants(&self, call: &Call<'_>, one: Option<&str>) -> Result<Reply, Failure> {
        let infix = if one.is_some() { "" } else { "collection." };
        let offers = media_type::named(&[&self.tenant_type(infix)]);
        let offer = media_type::choose(Negotiation::Weighed, call.accept, &offers)?;
        let show = |(id, name): &(String, String)| tenant::shown(self.version, &call.base, id, name, None);
        // With the mock provider, the description of a tenant is its name.
        let mock = |name: &str| tenant::shown(self.version, &call.base, name, name, Some(name));
        let body = match (one, &call.tenants) {
            // With the mock provider, every name is a tenant (step 2).
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

/// A body that was read, with the result of the check of its media type.
struct Body {
    value: jackson::Located,
    checked: Result<(), Failure>,
}

/// Returns true if objects of a kind are listed and created only below their parents, but have a path at the root.
fn is_of_a_parent(kind: Kind) -> bool {
    matches!(kind, Kind::Rule | Kind::Route | Kind::BgpPeer | Kind::BgpNetwork | Kind::Bgp)
}

/// Reads a UUID in its form with hyphens; no other form is accepted.
pub(crate) fn uuid_of(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}
