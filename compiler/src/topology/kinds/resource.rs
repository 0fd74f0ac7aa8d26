//! The properties that every kind of objects declares.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Kind, Reference, TypedReference, difference};
use crate::topology::key::Key;

/// A kind of objects: its constants, how its objects are read and written, and how they depend on others.
pub trait Resource: Sized + PartialEq + Serialize {
    /// The kind.
    const KIND: Kind;
    /// The kind in words.
    const NAME: &'static str;
    /// The identification of its objects.
    const IDENTITY: Identity;
    /// The media types of one object.
    const MEDIA_TYPES: MediaTypes;
    /// The way an object is changed.
    const UPDATE: Update = Update::Recreate;
    /// True if the joined objects can have only one object of this kind (a port has one link, an interface one binding).
    /// Then the old one is deleted before a new one is created.
    const EXCLUSIVE: bool = false;

    /// The server's JSON that an object is read from, as far as midoform reads it. One type serves all versions: a
    /// field that a version does not have is its default (recordings 02 to 14 of v1.7, v5.0 and v5.8).
    type Json: DeserializeOwned;

    /// Returns the path for POST and for the list. `parent` is the id in the path; kinds whose path has no id ignore it.
    fn collection_path(parent: &str) -> String;

    /// Reads an object; returns none if the JSON has no object of this kind.
    fn read(json: &Self::Json, listed: &Listed<'_>) -> Option<Self>;

    /// Returns the read that shows that a POST was executed, from its path and body. An object with an id of its own is
    /// looked for under it.
    fn evidence(_path: &str, body: &Value) -> Option<Evidence> {
        let Identity::Id { below, .. } = Self::IDENTITY else { return None };
        let id = text(body, "id")?;
        Some(Evidence {
            path: format!("/{below}/{id}"),
            kind: Self::KIND,
            is_list: false,
            holds: vec![("id", id)],
        })
    }

    /// Returns the reference to the object that this one is part of.
    fn parent(&self) -> Option<TypedReference<'_>> {
        None
    }

    /// Calls `visit` with every reference besides the one to the parent.
    fn references<'a>(&'a self, _visit: &mut dyn FnMut(TypedReference<'a>)) {}

    /// Returns the two most important references: to the object that this one belongs to, and to the one that it leads to.
    fn ends(&self) -> [Option<&Reference>; 2] {
        [self.parent().map(|parent| parent.reference), None]
    }

    /// Returns the position in the order of its parent's objects: 1 is the first. None for kinds without an order.
    fn position(&self) -> Option<u32> {
        None
    }

    /// Returns what only one object of this kind can have at a time ([`super::Object::occupies`]).
    fn occupies(&self) -> Option<String> {
        None
    }

    /// Returns true if traffic may flow through the object.
    fn carries_traffic(&self) -> bool {
        false
    }

    /// Describes the object in one line, without its key.
    fn describe(&self) -> String;

    /// Describes the difference between this object and the wanted one; returns none if they are the same to MidoNet.
    fn difference(&self, wanted: &Self) -> Option<String> {
        (self != wanted).then(|| difference::changed_fields(self, wanted))
    }

    /// Returns the id in the path that the object is posted to.
    fn parent_id(&self, names: &dyn Names) -> String {
        self.parent().map(|parent| names.reference(parent)).unwrap_or_default()
    }

    /// Returns the path that the object is posted to.
    fn posted_to(&self, names: &dyn Names) -> String {
        Self::collection_path(&self.parent_id(names))
    }

    /// Returns the path of the object itself. It is below its kind's path if the object has an id; otherwise it is the path
    /// of its POST.
    fn path(&self, names: &dyn Names, key: &Key) -> String {
        match Self::IDENTITY {
            Identity::Id { below, .. } => format!("/{below}/{}", names.id(key, &[Self::KIND])),
            Identity::Joined { .. } => self.posted_to(names),
        }
    }

    /// Returns the body that creates the object. `id` is the offered id, or none if the server would ignore it. `position` is
    /// the object's position in its parent's order.
    fn body(&self, names: &dyn Names, id: Option<String>, position: u32) -> Option<Box<RawValue>>;
}

/// The identification of the objects of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// An object has an id, and is found under it.
    Id {
        /// The first part of the object's path, such as `rules`.
        below: &'static str,
        /// True if MidoNet 1.x keeps the id that a client offers. 5.x keeps every one.
        kept_by_1x: bool,
    },
    /// An object has no id: it is identified by the objects that it joins.
    Joined {
        /// The field of the body that ends the object's path, below the path that it is posted to. Nothing if the
        /// two paths are the same.
        named_by: Option<&'static str>,
    },
}

/// The media types of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaTypes {
    /// MidoNet 1.x, as recorded from 1.7 (release v2014.11).
    pub v1: &'static str,
    /// MidoNet 5.x, as recorded from 5.0.2 and 5.8, which have the same ones.
    pub v5: &'static str,
}

impl MediaTypes {
    /// Returns a media type that all versions have in common.
    pub const fn same(media_type: &'static str) -> Self {
        MediaTypes { v1: media_type, v5: media_type }
    }
}

/// The way an object is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// It is deleted and created again.
    Recreate,
    /// By a PUT of the server's JSON, with midoform's fields replaced.
    InPlace {
        /// The fields that the PUT has to clear if the body leaves them out.
        clears: &'static [&'static str],
    },
}

/// The names that paths and bodies have for objects.
pub trait Names {
    /// Returns the id of the object with this key, as text. It is of one of these kinds.
    fn id(&self, key: &Key, kinds: &[Kind]) -> String;

    /// Returns the id of the object that a reference leads to.
    fn reference(&self, to: TypedReference<'_>) -> String {
        match to.reference {
            Reference::Key(key) => self.id(key, to.kinds),
            Reference::External(id) => id.to_string(),
            Reference::Named(name) => name.clone(),
        }
    }
}

/// The list that an object's JSON was found in, and the meaning of the ids in it.
pub struct Listed<'a> {
    /// The object whose list it was in, for kinds that are listed by parent.
    pub parent: Option<Reference>,
    /// The position in the list: 1 is the first.
    pub position: u32,
    /// Returns what an id refers to.
    pub resolve: &'a dyn Fn(Uuid) -> Reference,
}

/// A read that shows that an object was created, although the POST got no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The path to read.
    pub path: String,
    /// The kind that is found there.
    pub kind: Kind,
    /// True if a list is found there.
    pub is_list: bool,
    /// The texts in the object, or in one object of the list, if the POST was executed.
    pub holds: Vec<(&'static str, String)>,
}

/// Returns the read that shows that an object without an id of its own was posted: an object in the same list has this
/// field of the body.
pub(super) fn evidence_in_list(
    kind: Kind,
    path: &str,
    field: &'static str,
    body: &Value,
) -> Option<Evidence> {
    let holds = vec![(field, text(body, field)?)];
    Some(Evidence { path: path.to_owned(), kind, is_list: true, holds })
}

/// Returns a field's text.
pub(super) fn text(body: &Value, field: &str) -> Option<String> {
    body.get(field).and_then(Value::as_str).map(str::to_owned)
}
