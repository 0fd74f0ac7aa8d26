//! Converts errors of the store and of the API into CNI errors: the code tells the runtime whether trying again may
//! help.

use std::convert::Infallible;

use midoform_reconcile::claimed_port::PortError;
use midoform_reconcile::client::ClientError;
use midoform_reconcile::execute::StepError;
use midoform_reconcile::open_vswitch::PlugError;
use midoform_reconcile::planned::Unsound;
use midoform_reconcile::pod_rows::DeleteError;
use midoform_store::StoreError;
use midoform_store::allocation::AllocationError;
use midoform_store::ipam::ClaimError;
use midoform_store::tenants::TenantError;

use crate::protocol::error::{CniError, Code};

impl From<StoreError> for CniError {
    fn from(error: StoreError) -> CniError {
        let (code, message) = match error.is_passing() {
            true => (Code::TryAgainLater, "the store can't be used now"),
            false => (Code::Store, "the store can't be used"),
        };
        CniError::new(code, message).caused_by(error)
    }
}

impl From<ClientError> for CniError {
    fn from(error: ClientError) -> CniError {
        let (code, message) = match &error {
            ClientError::Northbound(error) => of_northbound(error),
            ClientError::Unreachable { .. } | ClientError::AnswerLost { .. } => {
                (Code::TryAgainLater, "the MidoNet API can't be used now")
            }
            ClientError::Status { status, .. } if *status == 429 || *status >= 500 => {
                (Code::TryAgainLater, "the MidoNet API can't be used now")
            }
            ClientError::Unexpected { .. } | ClientError::Malformed { .. } | ClientError::Redirect { .. } => {
                (Code::ApiRefused, "the server at the API's URL is no MidoNet API")
            }
            ClientError::Certificate { .. } => {
                (Code::InvalidConfiguration, "the certificate of the MidoNet API is not accepted")
            }
            ClientError::WrongScheme { .. } => {
                (Code::InvalidConfiguration, "the scheme of the MidoNet API's URL is wrong")
            }
            ClientError::WrongVersion { .. } => {
                (Code::InvalidConfiguration, "the MidoNet API has another version than the site")
            }
            ClientError::Schema { .. } => (
                Code::ApiRefused,
                "the schema of OVN's northbound database is not one that midonet-cni can use",
            ),
            ClientError::LockLost { .. } => (Code::TryAgainLater, "another run may be changing the tenant"),
            ClientError::Setup(_) => (Code::InvalidConfiguration, "the MidoNet API can't be called"),
            ClientError::Defect(_) => (Code::Internal, "midonet-cni has a defect"),
            _ => (Code::ApiRefused, "the MidoNet API refuses the call"),
        };
        CniError::new(code, message).caused_by(error)
    }
}

/// Returns the code and the message of an error of OVN's northbound database.
fn of_northbound(error: &midoform_ovsdb::Error) -> (Code, &'static str) {
    match (error.is_timed_out_wait(), error.code()) {
        (true, _) => (Code::TryAgainLater, "somebody changes the network at the same time"),
        (false, Some(_)) => (Code::ApiRefused, "OVN's northbound database refuses the change"),
        (false, None) if is_passing(error) => {
            (Code::TryAgainLater, "OVN's northbound database can't be used now")
        }
        (false, None) => (Code::InvalidConfiguration, "OVN's northbound database can't be used"),
    }
}

/// Returns true if a database may be there again later.
fn is_passing(error: &midoform_ovsdb::Error) -> bool {
    use midoform_ovsdb::Error;
    matches!(error, Error::Unreachable { .. } | Error::NoReply { .. } | Error::OutcomeUnknown { .. })
}

impl From<PlugError> for CniError {
    fn from(error: PlugError) -> CniError {
        let text = error.to_string();
        match error {
            PlugError::Database(error) if is_passing(&error) => {
                CniError::new(Code::TryAgainLater, "the host's Open vSwitch can't be used now")
                    .caused_by(error)
            }
            PlugError::Database(error) => {
                CniError::new(Code::ApiRefused, "the host's Open vSwitch refuses the change").caused_by(error)
            }
            PlugError::Foreign { .. } => CniError::new(Code::InvalidEnvironment, text),
            PlugError::Refused { .. } => CniError::new(Code::Netlink, text),
            PlugError::NoBridge { .. } | PlugError::Contended { .. } => {
                CniError::new(Code::TryAgainLater, text)
            }
            PlugError::NotInstalled { is_taken, .. } => {
                let hint = match is_taken {
                    true => {
                        "is ovn-controller running, and does it reach the southbound database? Is northd running?"
                    }
                    false => "is ovs-vswitchd running on this host?",
                };
                CniError::new(Code::TryAgainLater, text).hint(hint)
            }
        }
    }
}

impl From<midoform_ovsdb::Error> for CniError {
    /// Converts an error of the host's own database; those of the northbound database come as [`ClientError`].
    fn from(error: midoform_ovsdb::Error) -> CniError {
        PlugError::from(error).into()
    }
}

impl From<DeleteError> for CniError {
    fn from(error: DeleteError) -> CniError {
        match error {
            DeleteError::Client(error) => error.into(),
            DeleteError::Unsound(error) => error.into(),
            DeleteError::Port(error) => error.into(),
        }
    }
}

impl From<StepError> for CniError {
    fn from(error: StepError) -> CniError {
        error.source.into()
    }
}

impl From<Unsound> for CniError {
    fn from(error: Unsound) -> CniError {
        match error {
            Unsound::Defect { .. } => CniError::internal(error.to_string()),
            Unsound::NoProviderRouter(_) | Unsound::ManyProviderRouters { .. } => {
                CniError::new(Code::ApiRefused, error.to_string())
            }
        }
    }
}

impl<E> From<PortError<E>> for CniError
where
    CniError: From<E>,
{
    fn from(error: PortError<E>) -> CniError {
        match error {
            PortError::Step(error) => error.into(),
            PortError::Stopped(_) => CniError::new(Code::TryAgainLater, error.to_string()),
            PortError::Record(error) => error.into(),
        }
    }
}

impl From<Infallible> for CniError {
    fn from(never: Infallible) -> CniError {
        match never {}
    }
}

impl From<ClaimError> for CniError {
    fn from(error: ClaimError) -> CniError {
        let text = error.to_string();
        match error {
            ClaimError::Store(error) => error.into(),
            ClaimError::Taken { .. }
            | ClaimError::MacTaken { .. }
            | ClaimError::Unusable { .. }
            | ClaimError::Elsewhere { .. } => CniError::new(Code::AddressRefused, text),
            ClaimError::NoBridge { .. } => CniError::configuration("bridge", format!("is wrong: {text}")),
            ClaimError::Contended => CniError::new(Code::TryAgainLater, text),
        }
    }
}

impl From<AllocationError> for CniError {
    fn from(error: AllocationError) -> CniError {
        let text = error.to_string();
        match error {
            AllocationError::Store(error) => error.into(),
            AllocationError::Lost { .. } | AllocationError::Clash { .. } => {
                CniError::new(Code::TryAgainLater, text)
            }
            AllocationError::NotLocked { .. } => CniError::internal(text),
        }
    }
}

impl From<TenantError> for CniError {
    fn from(error: TenantError) -> CniError {
        let text = error.to_string();
        match error {
            TenantError::Store(error) => error.into(),
            TenantError::Lost { .. } => CniError::new(Code::TryAgainLater, text),
            TenantError::Taken { .. } | TenantError::MacTaken { .. } | TenantError::Attached { .. } => {
                CniError::new(Code::Tenant, text)
            }
        }
    }
}
