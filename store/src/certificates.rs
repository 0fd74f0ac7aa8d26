//! Certificates of TLS: files of CAs, and the errors that mean that one side rejects the certificate of the other.

use std::error::Error;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::input_file;

/// Reads a file of certificates as PEM.
///
/// # Errors
/// Returns the problem, with the file's name, if the file can't be read or holds no certificate.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let pem = input_file::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    match CertificateDer::pem_slice_iter(&pem).next() {
        Some(Ok(_)) => Ok(pem),
        Some(Err(error)) => Err(format!("{}: {error}", path.display())),
        None => Err(format!("{} holds no certificate as PEM", path.display())),
    }
}

/// Returns true if this error, or one of its sources, says that one side rejects the certificate of the other. Then
/// no call was made, and none will be until somebody changes a certificate.
pub fn is_rejection(error: &(dyn Error + 'static)) -> bool {
    is_of_tls(error, is_about_certificates)
}

/// Returns true if the server's certificate is one that a CA alone may have: rustls takes no such certificate of a server, also
/// if it is among the trusted ones.
pub fn is_of_ca(error: &(dyn Error + 'static)) -> bool {
    is_of_tls(error, |error| {
        let rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) = error else {
            return false;
        };
        other.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
    })
}

/// Returns true if the other side does not speak TLS.
pub fn is_without_tls(error: &(dyn Error + 'static)) -> bool {
    is_of_tls(error, |error| matches!(error, rustls::Error::InvalidMessage(_)))
}

/// Returns true if this error, or one of its sources, is such an error of TLS.
fn is_of_tls(error: &(dyn Error + 'static), is_such: impl Fn(&rustls::Error) -> bool) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref().is_some_and(&is_such) {
            return true;
        }
        // The source of an I/O error is the source of the error in it, so that one would be skipped.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
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

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_rejection_is_found_however_deep_it_is() {
        let rejected = || rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert!(is_rejection(&rejected()));
        assert!(is_rejection(&io::Error::other(rejected())));
        assert!(is_rejection(&io::Error::other(io::Error::other(rejected()))));
        assert!(!is_rejection(&io::Error::other(io::Error::other(rustls::Error::DecryptError))));
        assert!(!is_rejection(&io::Error::from(io::ErrorKind::ConnectionRefused)));
    }
}
