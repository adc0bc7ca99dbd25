//! Certificates: an operator's own, or a local authority that this machine's clients are told to trust.
//!
//! Azure's SDK sends its tokens over HTTPS only, so a server that it shall manage needs a certificate.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use thiserror::Error;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

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

/// The certificates a server shows.
#[derive(Debug, Clone)]
pub struct Certificates {
    pub(crate) config: Arc<ServerConfig>,
    authority: Option<PathBuf>,
}

impl Certificates {
    /// An operator's certificate chain and key, both PEM files.
    ///
    /// # Errors
    /// When a file cannot be read or the two do not fit.
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let unreadable = |path: &Path, reason: String| TlsError::File {
            action: "read",
            path: path.to_owned(),
            reason,
        };
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(chain).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let certificates = certificates.map_err(|error| unreadable(chain, error.to_string()))?;
        let key_der = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| unreadable(key, error.to_string()))?;
        Ok(Self { config: server_config(certificates, key_der)?, authority: None })
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
        let config = server_config(vec![certificate.der().clone()], key)?;
        Ok(Self { config, authority: Some(certificate_file) })
    }

    /// The certificate of the local authority, for `REQUESTS_CA_BUNDLE`, `SSL_CERT_FILE` and `curl --cacert`.
    pub fn authority_file(&self) -> Option<&Path> {
        self.authority.as_deref()
    }
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
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
