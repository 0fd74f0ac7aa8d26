//! The failures of commands, and the exit code of each.

use std::net::SocketAddr;
use std::process::ExitCode;

use midoform_adopt::PluginStateError;
use midoform_compiler::diagnostic::Diagnostic;
use midoform_lab::LabError;
use midoform_reconcile::client::ClientError;
use midoform_reconcile::credentials::CredentialsError;
use midoform_reconcile::execute::StepError;
use midoform_reconcile::open_vswitch::PlugError;
use midoform_reconcile::planned::{LookError, Unsound};
use midoform_reconcile::recorder::RecordError;
use midoform_reconcile::saved::SavedPlanError;
use midoform_simulator::{KeystoneStartError, ListenError, StartError, UsersError};
use midoform_store::StoreError;
use midoform_store::allocation::AllocationError;
use midoform_store::locks::LockError;
use midoform_store::tenants::TenantError;

use crate::sources::Sources;

/// The result of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    NoAnswer,
    ChangesPending,
    BadSpec,
    Unreachable,
    LoginRefused,
    Conflict,
    ApiError,
    Drift,
    Violated,
    Unhealthy,
    Usage,
    Internal,
    File,
    Interrupted,
}

impl Exit {
    /// All results, in the order of their codes.
    pub(crate) const ALL: [Exit; 15] = [
        Exit::Done,
        Exit::NoAnswer,
        Exit::ChangesPending,
        Exit::BadSpec,
        Exit::Unreachable,
        Exit::LoginRefused,
        Exit::Conflict,
        Exit::ApiError,
        Exit::Drift,
        Exit::Violated,
        Exit::Unhealthy,
        Exit::Usage,
        Exit::Internal,
        Exit::File,
        Exit::Interrupted,
    ];

    /// Returns the code, and its meaning for who reads the manual.
    pub(crate) fn described(self) -> (u8, &'static str) {
        match self {
            Exit::Done => (0, "done, or nothing to do"),
            Exit::NoAnswer => (1, "nothing answers (`lab ping`)"),
            Exit::ChangesPending => (2, "changes are pending (`plan --detailed-exitcode`, `import`)"),
            Exit::BadSpec => (3, "the spec is wrong"),
            Exit::Unreachable => {
                (4, "the API, Keystone or a store can't be reached, or its certificate is not accepted")
            }
            Exit::LoginRefused => (5, "the login is refused"),
            Exit::Conflict => (
                6,
                "a conflict: the network or the lock file has changed, the network lacks what a plan needs, the hash \
                 differs, the tenant is protected",
            ),
            Exit::ApiError => (7, "the API refuses or fails a call, or the server is no MidoNet API"),
            Exit::Drift => (
                8,
                "drift: the network differs from the spec, or foreign rules, routes or ports change what it does \
                 (`drift`)",
            ),
            Exit::Violated => (9, "a verified property does not hold"),
            Exit::Unhealthy => (10, "something is wrong (`doctor`)"),
            Exit::Usage => (64, "wrong usage"),
            Exit::Internal => (70, "a defect of midoform"),
            Exit::File => (74, "a file can't be read or written"),
            Exit::Interrupted => (130, "interrupted"),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.described().0)
    }
}

impl Exit {
    /// Returns the result of a command of midoform that ended with this code.
    pub(crate) fn of_code(code: u8) -> Exit {
        Exit::ALL.into_iter().find(|exit| exit.described().0 == code).unwrap_or(Exit::Internal)
    }
}

/// The advice about a northbound database whose schema lacks something.
pub(crate) const OLD_SCHEMA: &str =
    "upgrade OVN to 22.03 or later, and start it by ovn-ctl(8), which converts the database";

/// The failure of a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The spec is wrong: the diagnostics, and the sources that they point into.
    #[error("the spec is wrong")]
    Spec(Vec<Diagnostic>, Box<Sources>),
    #[error("{0}")]
    Usage(String),
    #[error("{path} can't be used")]
    File { path: String, source: std::io::Error },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Step(#[from] StepError),
    /// The host's Open vSwitch database can't be used.
    #[error(transparent)]
    Plug(#[from] PlugError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    #[error(transparent)]
    Tenant(Box<TenantError>),
    #[error(transparent)]
    SavedPlan(#[from] SavedPlanError),
    #[error("{0}")]
    Conflict(String),
    /// What the network lacks, each in a line.
    #[error("the network lacks what the plan needs: {}", .0.join("; "))]
    Missing(Vec<String>),
    /// The provider router that the site file names does not exist.
    #[error(transparent)]
    NoProviderRouter(Box<Unsound>),
    /// OVN does not take over what the northbound database says.
    #[error("{0}")]
    NotTakenOver(String),
    #[error("interrupted: {0}")]
    Interrupted(String),
    /// A laboratory can't be made, used or deleted.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The spec was not applied to a laboratory, for the reasons that were printed already.
    #[error(
        "the spec was not applied to the laboratory; {log} has the plan. `midoform lab up` goes on, `midoform lab down` deletes it"
    )]
    NotApplied { exit: Exit, log: String },
    #[error("the embedded API can't be started")]
    Server(#[from] StartError),
    #[error("the embedded Keystone can't be started")]
    Keystone(#[from] KeystoneStartError),
    #[error("--metrics {address} can't be used")]
    Metrics { address: SocketAddr, source: ListenError },
    #[error(transparent)]
    Users(#[from] UsersError),
    /// The keys of the Go plugin.
    #[error(transparent)]
    Plugin(#[from] PluginStateError),
    /// A defect of midoform.
    #[error("{0}")]
    Internal(String),
}

impl From<TenantError> for CommandError {
    fn from(error: TenantError) -> Self {
        CommandError::Tenant(Box::new(error))
    }
}

impl From<RecordError> for CommandError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Allocations(error) => error.into(),
            RecordError::Tenant(error) => error.into(),
        }
    }
}

impl From<LookError<CommandError>> for CommandError {
    fn from(error: LookError<CommandError>) -> Self {
        match error {
            LookError::Client(error) => error.into(),
            LookError::Refused(error) => error,
            LookError::Unsound(error) => error.into(),
        }
    }
}

impl From<Unsound> for CommandError {
    fn from(error: Unsound) -> Self {
        match error {
            Unsound::Defect { .. } => CommandError::Internal(error.to_string()),
            Unsound::NoProviderRouter(_) | Unsound::ManyProviderRouters { .. } => {
                CommandError::NoProviderRouter(Box::new(error))
            }
        }
    }
}

impl CommandError {
    pub(crate) fn file(path: &std::path::Path, source: std::io::Error) -> Self {
        CommandError::File { path: path.display().to_string(), source }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            CommandError::Spec(..) => Exit::BadSpec,
            CommandError::Usage(_) | CommandError::Metrics { .. } => Exit::Usage,
            CommandError::File { .. }
            | CommandError::Server(_)
            | CommandError::Keystone(_)
            | CommandError::Users(_) => Exit::File,
            CommandError::Plugin(error) => match error {
                PluginStateError::Unreachable { .. } => Exit::Unreachable,
                PluginStateError::Refused { .. } => Exit::LoginRefused,
                PluginStateError::Url(_) | PluginStateError::Unreadable(_) => Exit::Usage,
                PluginStateError::Etcd { .. } => Exit::ApiError,
            },
            CommandError::Client(error) => client_exit(error),
            CommandError::Step(error) => client_exit(&error.source),
            CommandError::Plug(error) => match error {
                PlugError::Database(error) => northbound_exit(error),
                PlugError::NoBridge { .. } | PlugError::NotInstalled { .. } => Exit::Unreachable,
                PlugError::Foreign { .. } | PlugError::Contended { .. } => Exit::Conflict,
                PlugError::Refused { .. } => Exit::ApiError,
            },
            CommandError::Store(error)
            | CommandError::Lock(LockError::Store(error))
            | CommandError::Allocation(AllocationError::Store(error)) => store_exit(error),
            CommandError::Tenant(error) => match &**error {
                TenantError::Store(error) => store_exit(error),
                _ => Exit::Conflict,
            },
            CommandError::Allocation(AllocationError::NotLocked { .. }) => Exit::Internal,
            CommandError::Lock(LockError::Busy { .. })
            | CommandError::Allocation(_)
            | CommandError::NoProviderRouter(_)
            | CommandError::Missing(_)
            | CommandError::Conflict(_) => Exit::Conflict,
            CommandError::Credentials(CredentialsError::File { .. }) => Exit::File,
            CommandError::Credentials(_) => Exit::Usage,
            CommandError::SavedPlan(SavedPlanError::File { .. }) => Exit::File,
            CommandError::SavedPlan(SavedPlanError::Content { .. }) => Exit::BadSpec,
            CommandError::NotTakenOver(_) => Exit::Unreachable,
            CommandError::Interrupted(_) => Exit::Interrupted,
            CommandError::Lab(error) => lab_exit(error),
            CommandError::NotApplied { exit, .. } => *exit,
            CommandError::Internal(_) => Exit::Internal,
        }
    }

    /// Returns advice about the failure.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            CommandError::Client(ClientError::Unreachable { .. }) => Some(
                "is the API running, and is the URL right (`[midonet] url`, or --api)? `plan --offline` works without an API",
            ),
            CommandError::Client(ClientError::Unexpected { .. } | ClientError::Redirect { .. }) => {
                Some("is the URL that of a MidoNet API (`[midonet] url`, or --api)?")
            }
            CommandError::Client(ClientError::WrongVersion { .. }) => Some(
                "set `[midonet] version` in the site file, or --api-version, to the server's first number: 1 or 5",
            ),
            CommandError::Client(ClientError::Certificate { .. }) => Some(
                "name the file of the CA that signed it with `[midonet] ca`, and check the host's name in the URL",
            ),
            CommandError::Client(ClientError::Refused { .. }) => Some(
                "set MIDONET_TOKEN, or MIDONET_USERNAME, MIDONET_PASSWORD and MIDONET_PROJECT; for Keystone OS_USERNAME, \
                     OS_PASSWORD, OS_PROJECT_NAME, or another of its logins (docs/login.md)",
            ),
            CommandError::Plug(PlugError::Database(error)) if northbound_exit(error) == Exit::Unreachable => {
                Some(
                    "does Open vSwitch run on this host, may you use its socket, and is the address right (`[ovn] open_vswitch`)?",
                )
            }
            CommandError::Client(ClientError::Schema { .. }) => Some(OLD_SCHEMA),
            CommandError::Step(step) if matches!(step.source, ClientError::Schema { .. }) => Some(OLD_SCHEMA),
            CommandError::Step(step) if step.source.is_moved() => Some(
                "the rows are not as they were when the plan was made: nothing of the transaction was done; run it again",
            ),
            CommandError::Step(_) => Some("completed changes stay; run it again to continue"),
            CommandError::Internal(_) => Some("this is a defect of midoform: please report it"),
            _ => None,
        }
    }
}

fn store_exit(error: &StoreError) -> Exit {
    match error {
        StoreError::Unreachable { .. } | StoreError::Uncertain { .. } | StoreError::Exhausted { .. } => {
            Exit::Unreachable
        }
        StoreError::Refused { .. } => Exit::LoginRefused,
        StoreError::Busy { .. } => Exit::Conflict,
        StoreError::Value { .. } | StoreError::Failed { .. } => Exit::File,
    }
}

fn client_exit(error: &ClientError) -> Exit {
    match error {
        ClientError::Unreachable { .. }
        | ClientError::AnswerLost { .. }
        | ClientError::WrongScheme { .. }
        | ClientError::Certificate { .. } => Exit::Unreachable,
        ClientError::Refused { .. } => Exit::LoginRefused,
        ClientError::Status { status: 409, .. } | ClientError::LockLost { .. } => Exit::Conflict,
        ClientError::Status { .. }
        | ClientError::Unexpected { .. }
        | ClientError::Malformed { .. }
        | ClientError::Redirect { .. }
        | ClientError::WrongVersion { .. }
        | ClientError::Schema { .. } => Exit::ApiError,
        ClientError::Setup(_) => Exit::Usage,
        ClientError::Northbound(error) => northbound_exit(error),
        ClientError::Defect(_) => Exit::Internal,
    }
}

fn lab_exit(error: &LabError) -> Exit {
    match error {
        LabError::NotRoot | LabError::Name(_) | LabError::NoPlace { .. } | LabError::PathTooLong { .. } => {
            Exit::Usage
        }
        LabError::Absent(_) | LabError::Busy(_) | LabError::Conflict(_) | LabError::Left(_) => Exit::Conflict,
        LabError::Late { .. } => Exit::Unreachable,
        LabError::Northbound(_) => Exit::ApiError,
        LabError::Missing { .. }
        | LabError::File { .. }
        | LabError::Description { .. }
        | LabError::Program { .. }
        | LabError::Kernel { .. } => Exit::File,
    }
}

fn northbound_exit(error: &midoform_ovsdb::Error) -> Exit {
    use midoform_ovsdb::Error;
    match error {
        Error::Unreachable { .. } | Error::NoReply { .. } | Error::OutcomeUnknown { .. } => Exit::Unreachable,
        Error::Remote(_) | Error::NoRemote | Error::NoTls { .. } | Error::Tls(_) => Exit::Usage,
        error if error.is_timed_out_wait() => Exit::Conflict,
        _ => Exit::ApiError,
    }
}
