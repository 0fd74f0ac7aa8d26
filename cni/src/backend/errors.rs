//! Converts errors of the store and of the API into CNI errors: the code tells the runtime whether trying again may
//! help.

use std::convert::Infallible;

use midoform_reconcile::claimed_port::PortError;
use midoform_reconcile::client::ClientError;
use midoform_reconcile::execute::StepError;
use midoform_reconcile::planned::Unsound;
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
            ClientError::LockLost { .. } => (Code::TryAgainLater, "another run may be changing the tenant"),
            ClientError::Setup(_) => (Code::InvalidConfiguration, "the MidoNet API can't be called"),
            ClientError::Defect(_) => (Code::Internal, "midonet-cni has a defect"),
            _ => (Code::ApiRefused, "the MidoNet API refuses the call"),
        };
        CniError::new(code, message).caused_by(error)
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
