//! The reasons to refuse a request, and the words of each version for them.
//!
//! The rules of [`crate::integrity`] and [`crate::api`] return failures by their cause. Only this file knows that the
//! same failure is a 404 on 5.x and a 500 on 1.7.

use uuid::Uuid;

use crate::http::jackson::BodyError;
use crate::http::reply::Reply;
use crate::schema::Kind;
use crate::validation::Violation;
use crate::version::Version;

/// The operation during which an object was found to be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Reading or deleting it.
    Read,
    /// Listing what it holds: 500 on 1.7 (03-bridge, step 14).
    List,
    /// Changing it: 500 on 1.7 (02-router, step 12).
    Change,
    /// Creating an object in it: 404 for ports (03-bridge, step 10), 500 for the rest (04-chain-rule, step 12).
    Create(Kind),
    /// Referring to it in a field: 500 on 1.7 (08-filters, step 4).
    Reference,
}

/// The reason to refuse a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Failure {
    /// The object does not exist.
    Missing { class: &'static str, kind: Option<Kind>, id: String, operation: Operation },
    /// An object with that id exists already: 409, or 500 on 1.7 (02-router, step 3).
    Exists { kind: Kind, id: Uuid },
    /// A router or a bridge had that id, and its tables are still there (17-id-again, steps 5 and 12).
    Used { kind: Kind, id: Uuid },
    /// The body violates constraints. The response is the same in all versions (05-router-port, steps 6 and 7).
    Violations(Vec<Violation>),
    /// A constraint violation on 1.7, a message with `status_5x` on 5.x (06-port-link, step 7; 07-route, step 8).
    Refused { property: &'static str, on_1x: String, on_5x: String, status_5x: u16 },
    /// A status with a message, the same in all versions.
    Message { status: u16, message: String },
    /// A status with one message for 1.x and another for 5.x.
    PerGeneration { status: u16, on_1x: String, on_5x: String },
    /// The storage of 5.x can't store a value: 500, with the text on 5.x (09-nat-rules, step 15).
    Unstorable(String),
    /// The server crashed: Jetty's page on 5.x (05-router-port, step 11), a 500 on 1.7.
    Crash(String),
    /// The server crashed during a change. 5.8 responds with the exception's message (not recorded).
    Exception { class: &'static str, message: Option<String> },
    /// The body can't be deserialised.
    Body(BodyError),
    /// A status without a message (405, 406, 415, …): an empty response on 5.x, a null message on 1.7 (10-bad-input,
    /// steps 3 to 5).
    StatusOnly(u16),
    /// No resource has this path (01-login, step 5).
    NoSuchPath { uri: String, root: Option<String> },
    /// An id in the path that is not a UUID, where the server needs one (01-login, step 6 on 1.7).
    BadPathId(String),
    /// A text in the path where the server needs a number.
    NotANumber(String),
}

impl Failure {
    /// Returns the failure for an object that does not exist.
    pub(crate) fn missing(kind: Kind, id: Uuid, operation: Operation) -> Failure {
        Failure::Missing { class: kind.class(), kind: Some(kind), id: id.to_string(), operation }
    }

    /// Returns the failure for an id that the body omits and the server does not check (not recorded).
    pub(crate) fn null() -> Failure {
        Failure::Exception { class: "java.lang.NullPointerException", message: None }
    }

    /// Returns a 400 with the same message in all versions.
    pub(crate) fn bad(message: impl Into<String>) -> Failure {
        Failure::Message { status: 400, message: message.into() }
    }

    /// Returns the response of `version`. The crash page shows `path`, the request's path.
    pub(crate) fn reply(&self, version: Version, path: &str) -> Reply {
        let is_1x = version.traits().is_1x;
        match self {
            Failure::Missing { class, kind, id, operation } => missing(version, class, *kind, id, *operation),
            Failure::Exists { kind, id } => exists(is_1x, *kind, *id),
            Failure::Used { kind, id } => {
                let table = if *kind == Kind::Router { "routing_table" } else { "mac_ports" };
                let node = format!("/midonet/{}/{id}/{table}", kind.path());
                Reply::error(500, &format!("There is already a node at {node}."))
            }
            Failure::Violations(violations) => Reply::violations(violations),
            Failure::Refused { property, on_1x: words, .. } if is_1x => {
                Reply::violations(&[Violation { property: (*property).to_owned(), message: words.clone() }])
            }
            Failure::Refused { on_5x, status_5x, .. } => Reply::error(*status_5x, on_5x),
            Failure::Message { status, message } => Reply::error(*status, message),
            Failure::PerGeneration { status, on_1x: words, .. } if is_1x => Reply::error(*status, words),
            Failure::PerGeneration { status, on_5x, .. } => Reply::error(*status, on_5x),
            Failure::Unstorable(_) | Failure::Crash(_) | Failure::Exception { .. } if is_1x => internal(),
            Failure::Unstorable(what) => {
                Reply::error(500, &format!("{} {what}", version.traits().cannot_handle))
            }
            Failure::Crash(why) => Reply::crash(path, why),
            Failure::Exception { message, .. } if version.traits().catches_exceptions => match message {
                Some(message) => Reply::error(500, message),
                None => Reply::error_without_message(500),
            },
            Failure::Exception { class, message: None } => Reply::crash(path, class),
            Failure::Exception { class, message: Some(message) } => {
                Reply::crash(path, &format!("{class}: {message}"))
            }
            Failure::Body(body_error) => body(is_1x, body_error, path),
            Failure::StatusOnly(status) if is_1x => Reply::error_without_message(*status),
            Failure::StatusOnly(status) => Reply::status(*status),
            Failure::NoSuchPath { root: Some(root), .. } if !is_1x => {
                Reply::error(404, &format!("Root resource {root} not found"))
            }
            Failure::NoSuchPath { uri, .. } => Reply::error(404, &format!("null for uri: {uri}")),
            Failure::NotANumber(text) => {
                let why = format!("java.lang.NumberFormatException: For input string: \"{text}\"");
                Reply::error(404, &why)
            }
            Failure::BadPathId(id) => {
                Reply::error(404, &format!("java.lang.IllegalArgumentException: Invalid UUID string: {id}"))
            }
        }
    }
}

fn internal() -> Reply {
    Reply::error(500, "An internal server error has occurred, please try again.")
}

fn missing(version: Version, class: &str, kind: Option<Kind>, id: &str, operation: Operation) -> Reply {
    let traits = version.traits();
    if let (Some(Kind::IpAddrGroup), Operation::List | Operation::Create(_), Some(words)) =
        (kind, operation, traits.no_address_group)
    {
        return Reply::error(404, &format!("{words}{id}"));
    }
    if !traits.is_1x {
        return Reply::error(404, &format!("There is no {class} with ID {id}."));
    }
    match (operation, kind) {
        // 03-bridge, step 13.
        (Operation::Read, Some(Kind::Bridge)) => {
            Reply::error(404, &format!("No bridge with ID {id} exists."))
        }
        // The message is like that for a bridge (not recorded).
        (Operation::Change, Some(Kind::Host)) => Reply::error(404, &format!("No host with ID {id} exists.")),
        // The three about load balancers and BGP are not recorded; they are MidoNet's.
        (Operation::Read, Some(Kind::LoadBalancer)) => {
            Reply::error(404, &format!("No load balancer with ID {id} exists."))
        }
        (Operation::Change, Some(Kind::LoadBalancer)) => {
            Reply::error(404, "The requested resource was not found.")
        }
        (Operation::Read, Some(Kind::Bgp)) => internal(),
        (Operation::Read, _) => Reply::error(404, "The requested resource was not found."),
        (Operation::Create(Kind::Port), Some(Kind::Router)) => {
            Reply::error(404, "Cannot create port for non existent router")
        }
        (Operation::Create(Kind::Port), Some(Kind::Bridge)) => {
            Reply::error(404, "Cannot create port for non existent bridge")
        }
        _ => internal(),
    }
}

fn exists(is_1x: bool, kind: Kind, id: Uuid) -> Reply {
    match (is_1x, kind) {
        (false, _) => Reply::error(409, &format!("A(n) {} with ID {id} already exists.", kind.class())),
        // The README: "Duplicate ids: […] address group 400".
        (true, Kind::IpAddrGroup) => {
            Reply::error(400, &format!("An IP address group with the ID {id} already exists."))
        }
        // The README: "load balancer, pool 409" (the message is MidoNet's).
        (true, Kind::LoadBalancer) => {
            Reply::error(409, &format!("A(n) load balancer with ID {id} already exists."))
        }
        (true, _) => internal(),
    }
}

fn body(is_1x: bool, body_error: &BodyError, path: &str) -> Reply {
    match body_error {
        BodyError::Empty | BodyError::NotJson(_) if is_1x => internal(),
        BodyError::Empty => Reply::crash(path, "java.lang.NullPointerException"),
        BodyError::NotJson(why) => {
            let why = format!(
                "javax.servlet.ServletException: com.fasterxml.jackson.core.JsonParseException: {why}"
            );
            Reply::crash(path, &why)
        }
        BodyError::TooDeep => Reply::error(400, "The body is nested too deeply."),
        BodyError::Custom(message) => Reply::error(400, message),
        // 04-chain-rule, step 13; 10-bad-input, steps 2 and 6.
        BodyError::Mapping(_) if is_1x => Reply::error(
            400,
            "Invalid fields or values were passed in that could not be deserialized into a known object.  \
             Please check fields such as 'type'.",
        ),
        BodyError::Mapping(why) => Reply::error(400, why),
    }
}
