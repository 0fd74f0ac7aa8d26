//! TLS to the members: the files, and what the other side says of a certificate.

use std::path::PathBuf;

use etcd_client::{Certificate, Identity, TlsOptions};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The files of TLS, all PEM.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The certificates that vouch for the members; none: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// The own certificate with its key, where the members ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// The files of TLS, read. Without any, the system's authorities vouch.
pub(super) fn options(tls: &Tls) -> Result<TlsOptions, String> {
    let read = |path: &PathBuf| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
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

/// What went wrong down to its cause, and whether that is a certificate that one side does not accept: no call was made
/// then, and none will be.
pub(super) fn words(message: &str, status: &dyn std::error::Error) -> (String, bool) {
    let mut cause = message.to_owned();
    let mut is_untrusted = false;
    let mut source = status.source();
    while let Some(error) = source {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = inner.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref());
        if let Some(tls) = tls {
            is_untrusted |= is_about_certificates(tls);
        }
        let text = error.to_string();
        if !cause.contains(&text) {
            cause = format!("{cause}: {text}");
        }
        source = error.source();
    }
    (cause, is_untrusted)
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
