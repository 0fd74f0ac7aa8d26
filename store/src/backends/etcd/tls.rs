//! TLS to the members: the files, and the errors about certificates.

use std::path::PathBuf;

use etcd_client::{Certificate, Identity, TlsOptions};
use midoform_compiler::error_chain::causes;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

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
    let read = |path: &PathBuf| {
        crate::input_file::read(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let certificates = |path: &PathBuf| {
        let pem = read(path)?;
        match CertificateDer::pem_slice_iter(&pem).next() {
            Some(Ok(_)) => Ok(pem),
            Some(Err(error)) => Err(format!("{}: {error}", path.display())),
            None => Err(format!("{} holds no certificate as PEM", path.display())),
        }
    };
    let mut options = match &tls.ca {
        Some(ca) => TlsOptions::new().ca_certificate(Certificate::from_pem(certificates(ca)?)),
        None => TlsOptions::new().with_native_roots(),
    };
    if let Some((certificate, key)) = &tls.identity {
        let pem = read(key)?;
        if PrivateKeyDer::from_pem_slice(&pem).is_err() {
            return Err(format!("{} holds no private key as PEM", key.display()));
        }
        options = options.identity(Identity::from_pem(certificates(certificate)?, pem));
    }
    Ok(options)
}

/// Returns the messages of an error and its sources, and whether one side rejected the certificate of the other. Then no
/// call was made, and none will be.
pub(super) fn words(message: &str, status: &(dyn std::error::Error + 'static)) -> (String, bool) {
    let mut words = message.to_owned();
    let mut is_untrusted = false;
    for error in causes(status) {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = inner.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref());
        if let Some(tls) = tls {
            is_untrusted |= is_about_certificates(tls);
        }
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
    }
    (words, is_untrusted)
}

fn is_about_certificates(error: &rustls::Error) -> bool {
    use rustls::AlertDescription as Alert;
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => true,
        rustls::Error::AlertReceived(alert) => matches!(
            alert,
            Alert::BadCertificate
                | Alert::CertificateRequired
                | Alert::CertificateUnknown
                | Alert::CertificateExpired
                | Alert::CertificateRevoked
                | Alert::UnknownCA
        ),
        _ => false,
    }
}
