//! Mutual TLS 1.3: every node shows a certificate of one authority, and that is all that is asked of it.
//!
//! Names are not compared: nodes are known by addresses that change, and the authority of `-raft-tls-ca` has to be one
//! that signs members of this group only. Nothing is resumed, so every connection is checked anew.

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, RootCertStore,
    ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::HandshakeError;
use super::preface::{self, Mode};
use crate::limits::TLS_FILE_BYTES;
use crate::net::go_errors;

/// How long before its end a certificate is warned of. Ours: time to make another.
const EXPIRY_WARNING: Duration = Duration::from_secs(30 * 24 * 3600);

/// Said by the called end, inside TLS, once it has checked the caller's certificate; only then does the caller know.
const WELCOME: u8 = 1;

/// Where the certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority, or several.
    pub ca: String,
    /// This node's certificate, and what lies between it and the authority.
    pub cert: String,
    /// Its private key.
    pub key: String,
}

/// A file cannot be used: its flag, its path and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("-raft-tls-{flag}={path}: {reason}")]
pub struct TlsFileError {
    flag: &'static str,
    path: String,
    reason: String,
}

/// The certificates of a running agent, which can be replaced: connections made before go on with theirs.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    identity: RwLock<TlsIdentity>,
}

impl Certificates {
    /// As [`TlsIdentity::load`].
    ///
    /// # Errors
    /// As there.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsFileError> {
        Ok(Self { files: files.clone(), identity: RwLock::new(TlsIdentity::load(files)?) })
    }

    /// Those in use.
    pub fn current(&self) -> TlsIdentity {
        self.identity.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// As [`TlsIdentity::load`]; those in use stay.
    pub fn reload(&self) -> Result<(), TlsFileError> {
        let identity = TlsIdentity::load(&self.files)?;
        *self.identity.write().unwrap_or_else(PoisonError::into_inner) = identity;
        Ok(())
    }

    /// Says so in the log where the node's own certificate ends soon.
    pub fn warn_of_expiry(&self) {
        if self.current().expires_soon {
            let path = &self.files.cert;
            tracing::warn!(target: "raft", "the certificate in {path} expires within 30 days: replace it and send SIGHUP");
        }
    }
}

/// Both ends' settings, made of [`TlsFiles`].
#[derive(Clone)]
pub struct TlsIdentity {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
    /// The node's own certificate ends soon.
    pub expires_soon: bool,
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity(..)")
    }
}

impl TlsIdentity {
    /// Reads the files and checks them against one another, as the other nodes will.
    ///
    /// # Errors
    /// [`TlsFileError`] for the first that cannot be used.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsFileError> {
        let wrong = |flag, path: &str, reason: String| TlsFileError { flag, path: path.to_owned(), reason };
        let ca = |reason: String| wrong("ca", &files.ca, reason);
        let cert = |reason: String| wrong("cert", &files.cert, reason);
        let key = |reason: String| wrong("key", &files.key, reason);

        let mut roots = RootCertStore::empty();
        for root in certificates(&files.ca).map_err(ca)? {
            roots.add(root).map_err(|error| ca(format!("not the certificate of an authority: {}", plain(&error))))?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(&files.cert).map_err(cert)?;
        let private = private_key(&files.key).map_err(key)?;
        let provider = Arc::new(ring::default_provider());

        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build();
        let clients = clients.map_err(|error| ca(error.to_string()))?;
        let servers = Arc::new(MemberVerifier { roots, algorithms: provider.signature_verification_algorithms });
        check(&*clients, &servers, &chain).map_err(|error| cert(own_fault(&error)))?;
        let expires_soon = expires_soon(&*clients, &chain);

        let unusable = |error: Error| {
            if error == Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
                return key(format!("it is not the key of the certificate in {}", files.cert));
            }
            key(plain(&error))
        };
        let server = server_config(&provider, clients, &chain, private.clone_key()).map_err(unusable)?;
        let client = client_config(&provider, servers, &chain, private).map_err(unusable)?;
        let (connector, acceptor) = (Arc::new(client).into(), Arc::new(server).into());
        Ok(Self { connector, acceptor, expires_soon })
    }
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    clients: Arc<dyn ClientCertVerifier>,
    chain: &[CertificateDer<'static>],
    private: PrivateKeyDer<'static>,
) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.to_vec(), private)?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

fn client_config(
    provider: &Arc<CryptoProvider>,
    servers: Arc<MemberVerifier>,
    chain: &[CertificateDer<'static>],
    private: PrivateKeyDer<'static>,
) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(servers)
        .with_client_auth_cert(chain.to_vec(), private)?;
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(config)
}

/// The calling end's handshake.
///
/// # Errors
/// One of the two certificates is refused, or the other end wants something else or does not go on.
pub(super) async fn call<S>(mut stream: S, identity: &TlsIdentity) -> Result<TlsStream<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&Mode::Tls.preface()).await?;
    stream.flush().await?;
    let mut answer = [0; preface::LENGTH];
    stream.read_exact(&mut answer).await?;
    preface::answered(Mode::Tls, answer)?;
    // Sent nowhere (`enable_sni`) and compared with nothing.
    let name = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
    let mut stream = identity.connector.connect(name, stream).await.map_err(|error| failed(&error))?;
    let welcome = stream.read_u8().await.map_err(|error| failed(&error))?;
    if welcome != WELCOME {
        return Err(HandshakeError::Protocol(format!("it answers {welcome} where {WELCOME} belongs")));
    }
    Ok(stream.into())
}

/// The called end's handshake, behind the preface.
///
/// # Errors
/// As [`call`].
pub(super) async fn answer<S>(mut stream: S, identity: &TlsIdentity) -> Result<TlsStream<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&Mode::Tls.preface()).await?;
    stream.flush().await?;
    let mut stream = identity.acceptor.accept(stream).await.map_err(|error| failed(&error))?;
    stream.write_u8(WELCOME).await.map_err(|error| failed(&error))?;
    stream.flush().await.map_err(|error| failed(&error))?;
    Ok(stream.into())
}

/// What went wrong in a handshake.
fn failed(error: &io::Error) -> HandshakeError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(error) if about_certificates(error) => HandshakeError::Certificate(plain(error)),
        Some(error) => HandshakeError::Protocol(plain(error)),
        None => HandshakeError::gone(error),
    }
}

fn about_certificates(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(_) | Error::NoCertificatesPresented)
        || matches!(error, Error::AlertReceived(alert) if certificate_alert(*alert).is_some())
}

/// What the other end says of our certificate.
fn certificate_alert(alert: AlertDescription) -> Option<&'static str> {
    let known = [
        (AlertDescription::UnknownCA, "it does not know the authority that signed this node's certificate"),
        (AlertDescription::CertificateExpired, "it finds this node's certificate expired: compare the clocks"),
        (AlertDescription::CertificateRequired, "it wants a certificate of this node"),
        (AlertDescription::CertificateRevoked, "it finds this node's certificate revoked"),
        (AlertDescription::CertificateUnknown, "it does not accept this node's certificate"),
        (AlertDescription::BadCertificate, "it does not accept this node's certificate"),
        (AlertDescription::UnsupportedCertificate, "it does not accept this node's certificate for this use"),
        (AlertDescription::AccessDenied, "it does not accept this node's certificate"),
        (AlertDescription::DecryptError, "it cannot verify this node's signature"),
    ];
    known.into_iter().find(|(known, _)| *known == alert).map(|(_, text)| text)
}

/// In words for an operator.
fn plain(error: &Error) -> String {
    if let Error::AlertReceived(alert) = error
        && let Some(text) = certificate_alert(*alert)
    {
        return text.to_owned();
    }
    if let Error::InvalidCertificate(reason) = error {
        return certificate_fault(reason);
    }
    if *error == Error::NoCertificatesPresented {
        return "it shows no certificate".to_owned();
    }
    error.to_string()
}

fn certificate_fault(reason: &CertificateError) -> String {
    use CertificateError as Fault;
    if matches!(reason, Fault::Expired | Fault::ExpiredContext { .. }) {
        return "its certificate has expired".to_owned();
    }
    if matches!(reason, Fault::NotValidYet | Fault::NotValidYetContext { .. }) {
        return "its certificate is not valid yet: compare the clocks".to_owned();
    }
    if matches!(reason, Fault::UnknownIssuer | Fault::BadSignature) {
        return "its certificate was not signed by the authority in -raft-tls-ca".to_owned();
    }
    if matches!(reason, Fault::InvalidPurpose | Fault::InvalidPurposeContext { .. }) {
        return "its certificate is not for both servers and clients (extended key usage)".to_owned();
    }
    format!("its certificate cannot be used: {reason:?}")
}

/// The same of our own.
fn own_fault(error: &Error) -> String {
    let text = plain(error);
    match text.strip_prefix("its certificate ") {
        Some(rest) => format!("the certificate {rest}"),
        None => text,
    }
}

/// Whether others will take our own certificate, when we call and when we are called.
fn check(
    clients: &dyn ClientCertVerifier,
    servers: &MemberVerifier,
    chain: &[CertificateDer<'static>],
) -> Result<(), Error> {
    let (own, between) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
    clients.verify_client_cert(own, between, UnixTime::now())?;
    servers.verify(own, between, UnixTime::now())
}

fn expires_soon(clients: &dyn ClientCertVerifier, chain: &[CertificateDer<'static>]) -> bool {
    let later =
        UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()).saturating_add(EXPIRY_WARNING));
    chain.split_first().is_some_and(|(own, between)| clients.verify_client_cert(own, between, later).is_err())
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => Err("it holds no certificate (PEM)".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("it is no PEM file: {error}")),
    }
}

fn private_key(path: &str) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| {
        if matches!(error, pem::Error::NoItemsFound) {
            return "it holds no private key (PEM)".to_owned();
        }
        format!("it is no PEM file: {error}")
    })
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|error| go_errors::cause(&error))?;
    let mut text = Vec::new();
    let limit = TLS_FILE_BYTES.saturating_add(1);
    file.take(limit).read_to_end(&mut text).map_err(|error| go_errors::cause(&error))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > TLS_FILE_BYTES {
        return Err(format!("it is longer than {TLS_FILE_BYTES} bytes"));
    }
    Ok(text)
}

/// Takes every certificate that the authority signed for a server.
#[derive(Debug)]
struct MemberVerifier {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl MemberVerifier {
    fn verify(&self, own: &CertificateDer<'_>, between: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(own)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, between, now, self.algorithms.all)
    }
}

impl ServerCertVerifier for MemberVerifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(own, between, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
