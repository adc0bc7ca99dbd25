//! How a server is kept safe: encryption, rates, a record.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use medparse_server::{AuditLog, IssuerConfig, Rate, TlsFiles};

/// Encryption, rates, a record.
#[derive(Args)]
#[command(next_help_heading = "Security")]
pub struct SecurityOptions {
    /// Certificate chain (PEM), to speak HTTPS; with --azure one is made where none is given. The
    /// files are read again when they change.
    #[arg(long, requires = "tls_key", env = "MEDPARSE_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM).
    #[arg(long, requires = "tls_cert", env = "MEDPARSE_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Certificates of authorities (PEM): every client must show a certificate of one of them.
    #[arg(long, requires = "tls_cert", env = "MEDPARSE_CLIENT_CA", value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Accept tokens of this OpenID Connect issuer, such as
    /// https://login.microsoftonline.com/TENANT/v2.0, where an endpoint has the authentication mode
    /// aad_token, and for management; the token's roles (or scp, scope) say what for:
    /// medparse.score, medparse.manage, medparse.metrics.
    #[arg(long, requires = "oidc_audience", env = "MEDPARSE_OIDC_ISSUER", value_name = "URL")]
    oidc_issuer: Option<String>,
    /// What the tokens' claim aud must be, such as api://medparse; may be repeated.
    #[arg(
        long,
        requires = "oidc_issuer",
        env = "MEDPARSE_OIDC_AUDIENCE",
        value_delimiter = ',',
        value_name = "AUDIENCE"
    )]
    oidc_audience: Vec<String>,
    /// Certificates of authorities (PEM) to trust for the issuer instead of the public ones.
    #[arg(long, requires = "oidc_issuer", env = "MEDPARSE_OIDC_CA", value_name = "FILE")]
    oidc_ca: Option<PathBuf>,
    /// How often each key may ask, as in 10/s, 600/min or 5000/h; then 429. `keys create --rate`
    /// gives a key a rate of its own.
    #[arg(long, env = "MEDPARSE_RATE", value_name = "RATE")]
    rate: Option<Rate>,
    /// Append a line for each request to this file: who, when, what, with which outcome, and no
    /// content.
    #[arg(long, env = "MEDPARSE_AUDIT", value_name = "FILE")]
    audit: Option<PathBuf>,
}

impl SecurityOptions {
    /// The files that HTTPS needs, where they were named.
    pub fn tls_files(&self) -> Option<TlsFiles> {
        let (chain, key) = (self.tls_cert.clone()?, self.tls_key.clone()?);
        Some(TlsFiles { chain, key, client_ca: self.client_ca.clone() })
    }

    /// How often each caller may ask.
    pub fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// Where the record is kept.
    pub fn audit_file(&self) -> Option<&Path> {
        self.audit.as_deref()
    }

    /// Whose tokens are accepted beside the server's own.
    ///
    /// # Errors
    /// When the address is none to trust, or the file cannot be read.
    pub fn issuer(&self) -> Result<Option<IssuerConfig>> {
        let Some(issuer) = &self.oidc_issuer else { return Ok(None) };
        let read = |path: &PathBuf| {
            std::fs::read(path)
                .with_context(|| format!("--oidc-ca: cannot read {}", path.display()))
        };
        let authorities = self.oidc_ca.as_ref().map(read).transpose()?;
        let config = IssuerConfig::new(issuer, self.oidc_audience.clone(), authorities);
        Ok(Some(config.context("--oidc-issuer")?))
    }

    /// The record, opened.
    ///
    /// # Errors
    /// When its file cannot be opened.
    pub fn audit(&self) -> Result<Option<AuditLog>> {
        Ok(self.audit.as_ref().map(AuditLog::open).transpose()?)
    }
}
