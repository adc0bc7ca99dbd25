//! What Azure's own tools need to find this server: `config.json` and environment variables.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use crate::auth::{SecretText, identity_header};
use crate::{Certificates, Store, Workspace};

/// Writes the `config.json` that `MLClient.from_config` reads, whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write_config(path: &Path, workspace: &Workspace) -> std::io::Result<()> {
    let config = json!({
        "subscription_id": workspace.subscription_id,
        "resource_group": workspace.resource_group,
        "workspace_name": workspace.name,
    });
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut file, &config)?;
    file.write_all(b"\n")?;
    file.persist(path).map_err(|failed| failed.error)?;
    Ok(())
}

/// One environment variable.
#[derive(Debug, Clone)]
pub struct Export {
    /// Its name.
    pub name: &'static str,
    /// Its value, which may be a secret.
    pub value: SecretText,
}

/// The environment with which azure-ai-ml and azure-identity talk to the server at `base` and to nobody else:
/// the control plane, the managed-identity source, and the certificate to trust.
pub fn exports(base: &str, store: &Store, certificates: Option<&Certificates>) -> Vec<Export> {
    let base = base.trim_end_matches('/');
    let export = |name, value: String| Export { name, value: SecretText::new(value) };
    let mut exports = vec![
        export("AZUREML_DEV_URL_MFE", base.to_owned()),
        export("IDENTITY_ENDPOINT", format!("{base}/identity/token")),
        Export { name: "IDENTITY_HEADER", value: identity_header(store.secret()) },
    ];
    if let Some(file) = certificates.and_then(Certificates::authority_file) {
        let file = file.display().to_string();
        exports.push(export("REQUESTS_CA_BUNDLE", file.clone()));
        exports.push(export("SSL_CERT_FILE", file));
    }
    exports
}
