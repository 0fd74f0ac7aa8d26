//! The connection to the engine whose network is observed and changed.

use std::borrow::Cow;
use std::collections::BTreeSet;

use midoform_compiler::plan::Plan;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::observed::{Observed, ProviderUse};
use midoform_store::locks::Tenure;
use uuid::Uuid;

use crate::client::{Client, ClientError, Counts};
use crate::event::Event;
use crate::execute::{self, Control, Outcome};
use crate::northbound::recognise::recognise;
use crate::northbound::{self, Northbound};
use crate::observe;
use crate::provider_router;
use crate::scope::Scope;

/// A connection to an engine. Clones share it.
#[derive(Clone)]
pub enum Connection {
    /// MidoNet's API.
    Midonet(Client),
    /// OVN's northbound database.
    Ovn(Northbound),
}

impl From<Client> for Connection {
    fn from(client: Client) -> Self {
        Connection::Midonet(client)
    }
}

impl Connection {
    /// Returns the client of MidoNet's API, if that is the engine.
    pub fn midonet(&self) -> Option<&Client> {
        match self {
            Connection::Midonet(client) => Some(client),
            Connection::Ovn(_) => None,
        }
    }

    /// Returns the northbound database, if OVN is the engine.
    pub fn northbound(&self) -> Option<&Northbound> {
        match self {
            Connection::Midonet(_) => None,
            Connection::Ovn(northbound) => Some(northbound),
        }
    }

    /// Returns the connection with the lock that its changes need.
    #[must_use]
    pub fn under(&self, tenure: Tenure) -> Connection {
        match self {
            Connection::Midonet(client) => Connection::Midonet(client.under(tenure)),
            Connection::Ovn(northbound) => Connection::Ovn(northbound.under(tenure)),
        }
    }

    /// Returns the numbers of calls.
    pub fn counts(&self) -> Counts {
        match self {
            Connection::Midonet(client) => client.statistics().counts(),
            Connection::Ovn(northbound) => northbound.counts(),
        }
    }

    /// Returns the URL or the servers, for people.
    pub fn address(&self) -> Cow<'_, str> {
        match self {
            Connection::Midonet(client) => Cow::Borrowed(client.base_url()),
            Connection::Ovn(northbound) => Cow::Borrowed(northbound.remotes()),
        }
    }

    /// Observes the network.
    ///
    /// # Errors
    /// Returns an error if a read fails.
    pub async fn observe(
        &self,
        scope: Scope<'_>,
        events: &(dyn Fn(Event) + Sync),
    ) -> Result<Observed, ClientError> {
        match self {
            Connection::Midonet(client) => observe::observe(client, scope, events).await,
            Connection::Ovn(northbound) => Ok(recognise(&northbound.snapshot().await?, scope)),
        }
    }

    /// Reads what others use on the provider router of a scope. `id_of` returns the ids of what the scope has there.
    pub(crate) async fn used_by_others(
        &self,
        scope: Scope<'_>,
        desired: &Topology,
        id_of: &(dyn Fn(&Key) -> Uuid + Sync),
    ) -> Result<ProviderUse, ClientError> {
        match self {
            Connection::Midonet(client) => {
                provider_router::used_by_others(client, scope.provider, desired, id_of).await
            }
            Connection::Ovn(northbound) => {
                northbound::provider_router::used_by_others(northbound, scope).await
            }
        }
    }

    /// Executes a plan. `there` has the ids of the objects that exist already.
    pub(crate) async fn execute(
        &self,
        plan: &Plan,
        there: &BTreeSet<Uuid>,
        parallel: usize,
        control: &Control,
        events: &(dyn Fn(Event) + Sync),
    ) -> Outcome {
        match self {
            Connection::Midonet(client) => {
                execute::execute(client, plan, there, parallel, control, events).await
            }
            Connection::Ovn(northbound) => {
                northbound::execute::execute(northbound, plan, control, events).await
            }
        }
    }
}
