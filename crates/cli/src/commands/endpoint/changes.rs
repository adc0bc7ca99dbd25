//! What `create` and `update` do to the state.

use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use jiff::SignedDuration;
use medparse::ModelSource;
use medparse_server::AdminError;
use medparse_server::admin::{DeploymentSpec, EndpointSpec, put_deployment, put_endpoint};
use medparse_server::store::{AuthMode, DeploymentRecord, Document, RequestSettings};

use super::traffic::Traffic;
use crate::lifetimes::lifetime;
use crate::serving::lasting;

/// The deployment that is meant where none is named.
const DEPLOYMENT: &str = "default";

/// Whether something shall be new or be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// It must not be there yet.
    Create,
    /// It must be there.
    Update,
}

/// What an endpoint and one of its deployments shall be.
#[derive(Args, Clone, Default)]
pub struct Settings {
    /// How callers show who they are: key, aml_token or aad_token.
    #[arg(long, value_parser = auth_mode, value_name = "MODE")]
    auth_mode: Option<AuthMode>,
    /// Shares of the requests in percent, as in blue=90,green=10; `none` for no traffic.
    #[arg(long, value_name = "SHARES")]
    traffic: Option<Traffic>,
    /// Share of the requests that one further deployment gets a copy of, as in green=10.
    #[arg(long, value_name = "SHARE")]
    mirror: Option<Traffic>,
    /// Let /score be this endpoint's.
    #[arg(long)]
    default: bool,
    /// The deployment that is made or changed; `default` where none is named.
    #[arg(long, value_name = "NAME", help_heading = "Deployment")]
    deployment: Option<String>,
    /// Its model: `bundled`, a file, `hub:owner/name`, or a name of the server's catalog.
    #[arg(long, value_name = "MODEL", help_heading = "Deployment")]
    model: Option<String>,
    /// Number format of its arithmetic: f32, bf16 or int8.
    #[arg(long, value_name = "FORMAT", help_heading = "Deployment")]
    precision: Option<String>,
    /// Threads of its own to compute with.
    #[arg(long, value_name = "N", help_heading = "Deployment")]
    threads: Option<NonZeroUsize>,
    /// How long it lives, as in 168h; then it is deleted by itself.
    #[arg(long, value_parser = lifetime, value_name = "TIME", help_heading = "Deployment")]
    expires_in: Option<SignedDuration>,
    /// Time for one row, waiting included.
    #[arg(long, value_parser = lifetime, value_name = "TIME", help_heading = "Deployment")]
    request_timeout: Option<SignedDuration>,
}

fn auth_mode(text: &str) -> Result<AuthMode, String> {
    AuthMode::from_name(text).ok_or_else(|| AdminError::AuthMode(text.to_owned()).to_string())
}

impl Settings {
    /// Whether nothing was typed.
    pub fn is_empty(&self) -> bool {
        !self.names_deployment()
            && !self.default
            && self.auth_mode.is_none()
            && self.traffic.is_none()
            && self.mirror.is_none()
    }

    /// The same, its model by a name that means the same in every folder.
    pub fn lasting(&self) -> Result<Self> {
        let folder = std::env::current_dir().context("cannot find the current folder")?;
        let model = self.model.as_deref().map(|model| lasting_model(model, &folder)).transpose()?;
        Ok(Self { model, ..self.clone() })
    }

    fn names_deployment(&self) -> bool {
        self.deployment.is_some()
            || self.model.is_some()
            || self.precision.is_some()
            || self.threads.is_some()
            || self.expires_in.is_some()
            || self.request_timeout.is_some()
    }
}

/// Makes or changes an endpoint and, where one is meant, its deployment.
///
/// # Errors
/// When it is there and should not be, or the other way round, or cannot be as it is asked for.
pub fn apply(
    document: &mut Document,
    name: &str,
    settings: &Settings,
    intent: Intent,
) -> Result<()> {
    let exists = document.endpoints.contains_key(name);
    match intent {
        Intent::Create if exists && !settings.names_deployment() => {
            bail!("there is an endpoint named {name:?} already; change it with `update`")
        }
        Intent::Update if !exists => return Err(AdminError::NoEndpoint(name.to_owned()).into()),
        _ => {}
    }
    let auth_mode = settings.auth_mode;
    put_endpoint(document, name, EndpointSpec { auth_mode, ..EndpointSpec::default() })?;
    let mut traffic = settings.traffic.clone();
    if settings.names_deployment() {
        let deployment = settings.deployment.as_deref().unwrap_or(DEPLOYMENT);
        apply_deployment(document, name, deployment, settings, intent)?;
        let endpoint = &document.endpoints[name];
        if traffic.is_none() && intent == Intent::Create && endpoint.deployments.len() == 1 {
            traffic = Some(Traffic([(deployment.to_owned(), 100)].into()));
        }
    }
    let mirror_traffic = settings.mirror.clone().map(|Traffic(shares)| shares);
    let traffic = traffic.map(|Traffic(shares)| shares);
    put_endpoint(document, name, EndpointSpec { traffic, mirror_traffic, ..Default::default() })?;
    if settings.default {
        document.default_endpoint = Some(name.to_owned());
    }
    Ok(())
}

fn apply_deployment(
    document: &mut Document,
    endpoint: &str,
    name: &str,
    settings: &Settings,
    intent: Intent,
) -> Result<()> {
    let existing = document.endpoints[endpoint].deployments.get(name).cloned();
    match (intent, &existing) {
        (Intent::Create, Some(_)) => bail!(
            "the endpoint {endpoint:?} has a deployment named {name:?} already; change it with `update`"
        ),
        (Intent::Update, None) => {
            let (endpoint, name) = (endpoint.to_owned(), name.to_owned());
            return Err(AdminError::NoDeployment { endpoint, name }.into());
        }
        _ => {}
    }
    let spec = spec(settings, existing.as_ref())?;
    let keeps_its_end = spec.expires_in.is_none();
    put_deployment(document, endpoint, name, spec)?;
    let record = document
        .endpoints
        .get_mut(endpoint)
        .and_then(|endpoint| endpoint.deployments.get_mut(name));
    if let (Some(record), Some(existing), true) = (record, existing, keeps_its_end) {
        record.expires = existing.expires;
    }
    Ok(())
}

/// What was typed, over what is there.
fn spec(settings: &Settings, existing: Option<&DeploymentRecord>) -> Result<DeploymentSpec> {
    let timeout = settings.request_timeout.map(|time| time.as_millis());
    let timeout = timeout.map(u64::try_from).transpose().context("--request-timeout")?;
    let of = |kept: fn(&DeploymentRecord) -> Option<String>| existing.and_then(kept);
    Ok(DeploymentSpec {
        model: settings.model.clone().or(of(|d| Some(d.model.clone()))).unwrap_or_default(),
        precision: settings.precision.clone().or(of(|d| d.precision.clone())),
        threads: settings.threads.map(usize::from).or(existing.and_then(|d| d.threads)),
        request_settings: RequestSettings {
            timeout_ms: timeout.or(existing.and_then(|d| d.request_settings.timeout_ms)),
        },
        expires_in: settings.expires_in,
        extra: existing.map(|d| d.extra.clone()).unwrap_or_default(),
    })
}

/// Lets the models of an endpoint that name files beside `folder` be found from every folder.
///
/// # Errors
/// When such a file is not there.
pub fn anchor_models(document: &mut Document, endpoint: &str, folder: &Path) -> Result<()> {
    let endpoint = document.endpoints.get_mut(endpoint);
    for deployment in endpoint.into_iter().flat_map(|endpoint| endpoint.deployments.values_mut()) {
        deployment.model = lasting_model(&deployment.model, folder)?;
    }
    Ok(())
}

/// A model's name as the state keeps it. What is no file may be a name of the server's catalog,
/// unless it ends as model files do.
fn lasting_model(model: &str, folder: &Path) -> Result<String> {
    let source: ModelSource = model.parse().with_context(|| model.to_owned())?;
    let is_file = [".pt", ".pth", ".safetensors"].iter().any(|ending| model.ends_with(ending));
    match lasting(source, folder) {
        Ok(source) => Ok(source.to_string()),
        Err(error) => {
            ensure!(!is_file, "{model}: {error}");
            Ok(model.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(document: &mut Document, intent: Intent, settings: Settings) -> Result<()> {
        let mut trial = document.clone();
        apply(&mut trial, "ward7", &settings, intent)?;
        *document = trial;
        Ok(())
    }

    fn deployment(name: &str, model: &str) -> Settings {
        Settings { deployment: Some(name.into()), model: Some(model.into()), ..Settings::default() }
    }

    #[test]
    fn the_first_deployment_gets_the_traffic_and_an_update_keeps_what_it_does_not_name() {
        let mut document = Document::default();
        let blue = Settings {
            expires_in: Some(SignedDuration::from_hours(168)),
            threads: NonZeroUsize::new(2),
            ..deployment("blue", "bundled")
        };
        change(&mut document, Intent::Create, blue).unwrap();
        change(&mut document, Intent::Create, deployment("green", "tiny")).unwrap();
        let endpoint = &document.endpoints["ward7"];
        assert_eq!(endpoint.traffic, [("blue".to_owned(), 100)].into());
        let expires = endpoint.deployments["blue"].expires;
        assert!(expires.is_some());
        change(&mut document, Intent::Update, deployment("blue", "other")).unwrap();
        let traffic = Settings {
            traffic: Some("blue=90,green=10".parse().unwrap()),
            auth_mode: Some(AuthMode::AmlToken),
            ..Settings::default()
        };
        change(&mut document, Intent::Update, traffic).unwrap();
        let endpoint = &document.endpoints["ward7"];
        let blue = &endpoint.deployments["blue"];
        assert_eq!((blue.model.as_str(), blue.threads, blue.expires), ("other", Some(2), expires));
        assert_eq!((endpoint.traffic["green"], endpoint.auth_mode), (10, AuthMode::AmlToken));
    }

    #[test]
    fn what_is_there_is_not_made_again_and_what_is_not_is_not_changed() {
        let mut document = Document::default();
        let mut refusal = |intent, settings| {
            change(&mut document, intent, settings).err().map(|error| error.to_string())
        };
        let update = refusal(Intent::Update, Settings::default()).unwrap();
        assert!(update.contains("there is no endpoint named \"ward7\""), "{update}");
        let nameless = refusal(Intent::Create, Settings { model: None, ..deployment("blue", "") });
        assert!(nameless.unwrap().contains("names no model"));
        assert_eq!(refusal(Intent::Create, deployment("blue", "bundled")), None);
        for (intent, settings, part) in [
            (Intent::Create, Settings::default(), "already; change it with `update`"),
            (Intent::Create, deployment("blue", "bundled"), "has a deployment named \"blue\""),
            (Intent::Update, deployment("red", "bundled"), "no deployment named \"red\""),
        ] {
            let error = refusal(intent, settings).unwrap();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn files_are_kept_by_their_whole_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.pt");
        std::fs::write(&file, "").unwrap();
        assert_eq!(lasting_model("a.pt", folder.path()).unwrap(), file.display().to_string());
        for name in ["bundled", "hub:owner/name", "tiny"] {
            assert_eq!(lasting_model(name, folder.path()).unwrap(), name);
        }
        assert!(lasting_model("b.pt", folder.path()).is_err());
    }
}
