//! TLS to the members: the files, and the errors about certificates.

use std::error::Error;
use std::path::PathBuf;

use etcd_client::{Certificate, Identity, TlsOptions};
use midoform_compiler::error_chain::causes;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::{certificates, input_file};

/// The files for TLS, all PEM.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The CA certificates for the members; none: those of the system.
    pub ca: Option<PathBuf>,
    /// The client certificate with its key, if the members require one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Reads the files for TLS. Without a CA file, the CAs of the system are trusted.
pub(super) fn options(tls: &Tls) -> Result<TlsOptions, String> {
    let mut options = match &tls.ca {
        Some(ca) => TlsOptions::new().ca_certificate(Certificate::from_pem(certificates::read(ca)?)),
        None => TlsOptions::new().with_native_roots(),
    };
    if let Some((certificate, key)) = &tls.identity {
        let pem = input_file::read(key).map_err(|error| format!("{}: {error}", key.display()))?;
        if PrivateKeyDer::from_pem_slice(&pem).is_err() {
            return Err(format!("{} holds no private key as PEM", key.display()));
        }
        options = options.identity(Identity::from_pem(certificates::read(certificate)?, pem));
    }
    Ok(options)
}

/// Returns the messages of an error and its sources, and whether one side rejected the certificate of the other. Then no
/// call was made, and none will be.
pub(super) fn words(message: &str, status: &(dyn Error + 'static)) -> (String, bool) {
    let mut words = message.to_owned();
    let is_untrusted = status.source().is_some_and(certificates::is_rejection);
    for error in causes(status) {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
    }
    (words, is_untrusted)
}
