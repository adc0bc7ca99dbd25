//! Certificates: an operator's own, or a local authority that this machine's clients are told to trust.
//!
//! Azure's SDK sends its tokens over HTTPS only, so a server that it shall manage needs a certificate.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use thiserror::Error;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {reason}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// Certificate and key do not fit, or the name of a host cannot be used.
    #[error("the certificate cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// How often an operator's files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// An operator's files, all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and its authority.
    pub chain: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
    /// The authorities of which each client must show a certificate; without it no client is asked for one.
    pub client_ca: Option<PathBuf>,
}

/// The certificates a server shows, and those it wants to see; clones change together.
#[derive(Debug, Clone)]
pub struct Certificates {
    current: Arc<RwLock<Arc<ServerConfig>>>,
    files: Option<TlsFiles>,
    authority: Option<PathBuf>,
}

impl Certificates {
    /// An operator's files.
    ///
    /// # Errors
    /// When a file cannot be read or certificate and key do not fit.
    pub fn from_files(files: TlsFiles) -> Result<Self, TlsError> {
        Ok(Self::new(files.read()?, Some(files), None))
    }

    fn new(config: ServerConfig, files: Option<TlsFiles>, authority: Option<PathBuf>) -> Self {
        Self { current: Arc::new(RwLock::new(Arc::new(config))), files, authority }
    }

    /// What the next connection is greeted with.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again whenever one has changed, for as long as the server runs. Files that cannot be used leave
    /// the certificates as they were.
    pub(crate) async fn follow(self) {
        let Some(files) = self.files.clone() else { return };
        let mut known = files.stamps();
        loop {
            tokio::time::sleep(LOOK).await;
            let found = files.stamps();
            if found == known {
                continue;
            }
            match files.read() {
                Ok(config) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) =
                        Arc::new(config);
                    tracing::info!("new certificates are in use");
                }
                Err(error) => tracing::error!(%error, "the certificates stay as they were"),
            }
            known = found;
        }
    }

    /// A certificate for `hosts`, made afresh and signed by a local authority whose files in `folder` are made on the
    /// first call. Clients trust the authority by its file, see [`authority_file`](Self::authority_file).
    ///
    /// # Errors
    /// When the files cannot be read or written.
    pub fn local(folder: &Path, hosts: &[String]) -> Result<Self, TlsError> {
        let (certificate_file, key_file) = (folder.join("ca.pem"), folder.join("ca.key"));
        let authority_key = match fs::read_to_string(&key_file) {
            Ok(pem) if certificate_file.exists() => KeyPair::from_pem(&pem)?,
            _ => make_authority(&certificate_file, &key_file)?,
        };
        let authority = authority_params();
        let issuer = Issuer::from_params(&authority, &authority_key);
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        names.extend(hosts.iter().filter(|host| !is_unspecified(host)).cloned());
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "medparse server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = server_config(vec![certificate.der().clone()], key, None)?;
        Ok(Self::new(config, None, Some(certificate_file)))
    }

    /// The certificate of the local authority, for `REQUESTS_CA_BUNDLE`, `SSL_CERT_FILE` and `curl --cacert`.
    pub fn authority_file(&self) -> Option<&Path> {
        self.authority.as_deref()
    }
}

impl TlsFiles {
    fn read(&self) -> Result<ServerConfig, TlsError> {
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| unreadable(&self.key, error.to_string()))?;
        let verifier = self.client_ca.as_deref().map(client_verifier).transpose()?;
        server_config(certificates(&self.chain)?, key, verifier)
    }

    /// What changes when a file does.
    fn stamps(&self) -> Vec<Option<(SystemTime, u64)>> {
        let files = [Some(&self.chain), Some(&self.key), self.client_ca.as_ref()];
        let stamp = |path: &PathBuf| {
            let found = path.metadata().ok()?;
            Some((found.modified().ok()?, found.len()))
        };
        files.into_iter().flatten().map(stamp).collect()
    }
}

fn unreadable(path: &Path, reason: String) -> TlsError {
    TlsError::File { action: "read", path: path.to_owned(), reason }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(path, error.to_string()))
}

fn client_verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(path)? {
        roots.add(authority)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| unreadable(path, error.to_string()))
}

fn is_unspecified(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}

/// The authority's certificate, the same at every start but for its dates: clients compare name and key.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "medparse local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn make_authority(certificate_file: &Path, key_file: &Path) -> Result<KeyPair, TlsError> {
    let key = KeyPair::generate()?;
    let certificate = authority_params().self_signed(&key)?;
    write(key_file, &key.serialize_pem())?;
    write(certificate_file, &certificate.pem())?;
    Ok(key)
}

/// Writes a file that its owner alone can read, whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), TlsError> {
    let failed = |reason: String| TlsError::File { action: "write", path: path.to_owned(), reason };
    let folder = path.parent().unwrap_or(Path::new("."));
    let file =
        tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(error.to_string()))?;
    fs::write(file.path(), text).map_err(|error| failed(error.to_string()))?;
    file.persist(path).map_err(|error| failed(error.error.to_string()))?;
    Ok(())
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
