//! TLS to servers: the files, and the verification of certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// The files for TLS, all PEM. They are read for each new connection, so renewed ones are used without a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificates of the authorities that sign the servers' certificates. No others are trusted.
    pub ca: PathBuf,
    /// The certificate (with its intermediate ones) and the private key of this client; none: the server must not require one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The names that a server's certificate must have.
    pub names: ServerNames,
}

/// The names that a server's certificate must have among its alternative names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ServerNames {
    /// The host of the remote.
    #[default]
    Host,
    /// This DNS name or IP address, for all remotes.
    Fixed(String),
    /// Any: every certificate of the authority is accepted, whoever it was made for, as the programs of Open vSwitch do it. Use it
    /// only with an authority that signs nothing but the certificates of these servers (`ovs-pki` has one of its own for them),
    /// because certificates that `ovs-pki` makes need not have the name of the host.
    Any,
}

/// A file for TLS that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// The problem.
    pub problem: String,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn config(&self) -> Result<ClientConfig, TlsError> {
        let wrong = |path: &Path, problem: &dyn std::fmt::Display| TlsError {
            path: path.to_owned(),
            problem: problem.to_string(),
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            roots.add(certificate).map_err(|error| wrong(&self.ca, &error))?;
        }
        let provider = Arc::new(ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| wrong(&self.ca, &error))?;
        let builder = match self.names {
            ServerNames::Any => {
                let (roots, verifier) = (Arc::new(roots), WebPkiServerVerifier::builder_with_provider);
                let signatures = verifier(roots.clone(), provider.clone()).build();
                let signatures = signatures.map_err(|error| wrong(&self.ca, &error))?;
                let verifier = AnyName { roots, provider, signatures };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            ServerNames::Host | ServerNames::Fixed(_) => builder.with_root_certificates(roots),
        };
        let Some((certificate, key)) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let chain = certificates(certificate)?;
        let pem = std::fs::read(key).map_err(|error| wrong(key, &error))?;
        let secret =
            PrivateKeyDer::from_pem_slice(&pem).map_err(|_| wrong(key, &"it holds no private key as PEM"))?;
        builder.with_client_auth_cert(chain, secret).map_err(|error| wrong(key, &error))
    }

    /// Returns the name that is verified for a host.
    pub(crate) fn server_name(&self, host: &str) -> Result<ServerName<'static>, String> {
        let name = match &self.names {
            ServerNames::Fixed(name) => name,
            ServerNames::Host | ServerNames::Any => host,
        };
        ServerName::try_from(name.to_owned()).map_err(|_| format!("`{name}` is no name of a certificate"))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |problem: String| TlsError { path: path.to_owned(), problem };
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let read = read.map_err(|error| wrong(error.to_string()))?;
    match read.is_empty() {
        true => Err(wrong("it holds no certificate as PEM".to_owned())),
        false => Ok(read),
    }
}

/// Verifies that an authority signed a certificate for a server, whatever its name is.
#[derive(Debug)]
struct AnyName {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    /// Verifies the signatures of handshakes.
    signatures: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_verify_schemes()
    }
}

/// Returns true if an error of a connection says that one side rejects the certificate of the other. Then nothing was
/// executed, and nothing will be until somebody changes a certificate.
pub(crate) fn is_rejection(error: &std::io::Error) -> bool {
    use rustls::AlertDescription as Alert;
    let Some(inner) = error.get_ref() else { return false };
    match inner.downcast_ref::<Error>() {
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => true,
        Some(Error::AlertReceived(alert)) => matches!(
            alert,
            Alert::BadCertificate
                | Alert::CertificateRequired
                | Alert::CertificateUnknown
                | Alert::CertificateExpired
                | Alert::CertificateRevoked
                | Alert::HandshakeFailure
                | Alert::UnknownCA
        ),
        _ => inner.downcast_ref::<std::io::Error>().is_some_and(is_rejection),
    }
}
