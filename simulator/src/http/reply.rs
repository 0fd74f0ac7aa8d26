//! Replies, and the representation of errors.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use crate::object::Object;
use crate::validation::Violation;

/// The media type of errors.
pub(crate) const ERROR: &str = "application/vnd.org.midonet.Error-v1+json";
const CRASH: &str = "text/html;charset=iso-8859-1";

/// The content of a reply.
#[derive(Debug)]
pub(crate) enum Content {
    Nothing,
    Whole(Vec<u8>),
    /// A list of objects, which is serialised while it is sent.
    List {
        objects: Vec<Arc<Object>>,
        form: Representation,
        base: Arc<str>,
    },
    /// The first part of a body whose rest is not sent.
    Partial {
        sent: Bytes,
        length: u64,
        stalls: bool,
    },
}

/// The representation of objects (see [`crate::http::serialize`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Representation {
    pub(crate) version: crate::version::Version,
    /// True for the older representation that 1.7 has of some kinds.
    pub(crate) older: bool,
}

/// A reply to a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) allow: Option<&'static str>,
    /// Other headers, with names in lower case.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) content: Content,
}

impl Reply {
    /// Returns a reply with a status only.
    pub(crate) fn status(status: u16) -> Reply {
        Reply {
            status,
            content_type: None,
            location: None,
            allow: None,
            headers: Vec::new(),
            content: Content::Nothing,
        }
    }

    /// Returns a 201 with the location of the new object.
    pub(crate) fn created(location: Option<String>) -> Reply {
        Reply { location, ..Reply::status(201) }
    }

    /// Returns a 204.
    pub(crate) fn done() -> Reply {
        Reply::status(204)
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    /// Returns a reply with a body of a media type.
    pub(crate) fn with(status: u16, content_type: &str, body: Vec<u8>) -> Reply {
        Reply {
            content_type: Some(content_type.to_owned()),
            content: Content::Whole(body),
            ..Reply::status(status)
        }
    }

    /// Returns a reply with a JSON body.
    pub(crate) fn json(status: u16, content_type: &str, body: &Json) -> Reply {
        Reply::with(status, content_type, body.to_string().into_bytes())
    }

    /// Returns an error with its message.
    pub(crate) fn error(status: u16, message: &str) -> Reply {
        Reply::json(status, ERROR, &json!({ "message": message, "code": status }))
    }

    /// Returns an error whose message is null.
    pub(crate) fn error_without_message(status: u16) -> Reply {
        Reply::json(status, ERROR, &json!({ "message": null, "code": status }))
    }

    /// Returns a 400 with the violated constraints.
    pub(crate) fn violations(violations: &[Violation]) -> Reply {
        let violations: Vec<Json> = violations
            .iter()
            .map(|violation| json!({ "property": violation.property, "message": violation.message }))
            .collect();
        let body = json!({ "message": "Validation error(s) found", "code": 400, "violations": violations });
        Reply::json(400, ERROR, &body)
    }

    /// Returns Jetty's page about an uncaught exception (05-router-port, step 11).
    pub(crate) fn crash(path: &str, why: &str) -> Reply {
        let body = format!(
            "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html;charset=ISO-8859-1\"/>\n\
             <title>Error 500 </title>\n</head>\n<body>\n<h2>HTTP ERROR: 500</h2>\n<p>Problem accessing {}. Reason:\n\
             <pre>    {}</pre></p>\n<hr /><a href=\"http://eclipse.org/jetty\">Powered by Jetty:// \
             9.3.2.v20150730</a><hr/>\n</body>\n</html>\n",
            escape(path),
            escape(why)
        );
        Reply::with(500, CRASH, body.into_bytes())
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&apos;")
}
