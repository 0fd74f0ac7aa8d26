//! The certificate and the key that a server presents over TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate with its key, as PEM files.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The file of the certificate, with the intermediate certificates after it.
    pub certificate: PathBuf,
    /// The file of the private key.
    pub key: PathBuf,
}

/// The error for a certificate or a key that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{path} can't be used for TLS: {why}")]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub why: String,
}

/// Reads a certificate and its key from their files.
pub(crate) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, TlsError> {
    fn bad(path: &Path, why: impl ToString) -> TlsError {
        TlsError { path: path.to_owned(), why: why.to_string() }
    }
    let chain = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|why| bad(&tls.certificate, why))?;
    if chain.is_empty() {
        return Err(bad(&tls.certificate, "there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|why| bad(&tls.key, why))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|why| bad(&tls.certificate, why))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
