//! The first half of a reconciliation: observe, diff, lint. It sends nothing but reads.

use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::plan::{self, Engine, Plan};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::topology::kinds::{Kind, Reference};
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::{midonet, ovn};
use uuid::Uuid;

use crate::client::ClientError;
use crate::connection::Connection;
use crate::event::Event;
use crate::goal::Goal;

/// A plan with the goal that it leads to and the network that it starts from. The plan has passed the lint.
pub struct Planned<'g, G: Goal> {
    pub(crate) goal: &'g G,
    pub(crate) observed: Observed,
    pub(crate) plan: Plan,
}

/// The reason why a plan can't be executed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unsound {
    /// The plan contradicts itself or the API's rules: a defect of midoform.
    #[error("the plan is not sound: {key} ({code}): {message}")]
    Defect {
        /// The object.
        key: Key,
        /// The kind of the fault, as the lint calls it.
        code: &'static str,
        /// A description.
        message: String,
    },
    /// The provider router that the site file names does not exist.
    #[error(
        "there is no router {0}, which is the site's provider router: correct `provider_router` in the site file"
    )]
    NoProviderRouter(Reference),
    /// Several routers have the name of the provider router.
    #[error("{count} routers are called {name:?}, which is the site's provider router: name it by its UUID")]
    ManyProviderRouters {
        /// The name.
        name: String,
        /// The number of routers.
        count: usize,
    },
}

/// The reason why there is no plan.
#[derive(Debug)]
pub enum LookError<R> {
    /// A read failed.
    Client(ClientError),
    /// The goal must not be pursued from the observed network.
    Refused(R),
    /// The plan did not pass the lint.
    Unsound(Unsound),
}

impl<'g, G: Goal> Planned<'g, G> {
    /// Observes the network, and plans.
    ///
    /// # Errors
    /// Returns an error if a read fails, the goal refuses to start from there, or the plan does not pass the lint.
    pub async fn look(
        connection: &Connection,
        goal: &'g G,
        known: &Allocations,
        events: &(dyn Fn(Event) + Sync),
    ) -> Result<Self, LookError<G::Refusal>> {
        let scope = goal.scope(known);
        let observed = connection.observe(scope, events).await.map_err(LookError::Client)?;
        if !goal.desired().is_empty() {
            check_provider(scope.provider, &observed).map_err(LookError::Unsound)?;
        }
        let plan = goal.plan(&observed).map_err(LookError::Refused)?;
        Planned::exactly(goal, observed, plan).map_err(LookError::Unsound)
    }

    /// Takes a plan for this state of the network.
    ///
    /// # Errors
    /// Returns an error if the plan does not pass the lint.
    pub(crate) fn exactly(goal: &'g G, observed: Observed, plan: Plan) -> Result<Self, Unsound> {
        check(&plan, goal.desired(), &observed)?;
        Ok(Planned { goal, observed, plan })
    }

    /// Replaces the plan with one that was reviewed before. Returns none if the network has changed since that plan was
    /// made.
    ///
    /// # Errors
    /// Returns an error if the reviewed plan does not pass the lint.
    pub fn as_reviewed(self, reviewed: Plan) -> Result<Option<Self>, Unsound> {
        match self.plan.base == reviewed.base {
            true => Planned::exactly(self.goal, self.observed, reviewed).map(Some),
            false => Ok(None),
        }
    }

    /// Returns the goal.
    pub fn goal(&self) -> &'g G {
        self.goal
    }

    /// Returns the plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the network as it was observed.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Returns the plan's SHA-256.
    pub fn hash(&self) -> String {
        plan::hash(&self.plan)
    }
}

/// Checks that the provider router exists, if it is not midoform's own.
///
/// # Errors
/// Returns an error if it does not.
pub fn check_provider(provider: &Reference, observed: &Observed) -> Result<(), Unsound> {
    let is_there = |id: &Uuid| {
        let kind = observed.present.get(id);
        matches!(kind, Some(Kind::Router | Kind::Row(Table::LogicalRouter)))
    };
    match provider {
        Reference::External(id) if !is_there(id) => Err(Unsound::NoProviderRouter(provider.clone())),
        Reference::Named(name) => match observed.routers.get(name).map_or(0, Vec::len) {
            0 => Err(Unsound::NoProviderRouter(provider.clone())),
            1 => Ok(()),
            count => Err(Unsound::ManyProviderRouters { name: name.clone(), count }),
        },
        _ => Ok(()),
    }
}

/// Checks a plan for this state of the network. No plan is executed without that.
pub(crate) fn check(plan: &Plan, desired: &Topology, observed: &Observed) -> Result<(), Unsound> {
    if plan.changes().next().is_none() {
        return Ok(());
    }
    let found = match plan.engine {
        Engine::Midonet1 | Engine::Midonet5 => {
            let finding = midonet::lint::check(plan, observed).into_iter().next();
            finding.map(|finding| (finding.step, finding.code.name(), finding.message))
        }
        Engine::Ovn => {
            let finding = ovn::lint::check_plan(plan, desired, observed).into_iter().next();
            finding.map(|finding| (finding.key, finding.code.name(), finding.message))
        }
    };
    found.map_or(Ok(()), |(key, code, message)| Err(Unsound::Defect { key, code, message }))
}
