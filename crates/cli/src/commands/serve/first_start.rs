//! The endpoint that a fresh server has.

use medparse::ModelSource;
use medparse_server::admin::{DeploymentSpec, EndpointSpec, put_deployment, put_endpoint};
use medparse_server::store::Document;
use medparse_server::{AdminError, Store};

/// The endpoint that the first start makes.
const ENDPOINT: &str = "medparse";

/// Its deployment, which follows `--model`.
const DEPLOYMENT: &str = "default";

/// What a start does to a state without endpoints.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fresh {
    /// It gets one.
    Furnished,
    /// It stays so, to be deployed from outside.
    Bare,
}

/// Makes the endpoint `medparse` with all its traffic on the deployment `default` where there is
/// no endpoint, and gives that deployment `model` where one was named.
///
/// # Errors
/// When the state cannot be read or written.
pub fn prepare(store: &Store, model: Option<&ModelSource>, fresh: Fresh) -> Result<(), AdminError> {
    if is_prepared(&*store.read()?, model, fresh) {
        return Ok(());
    }
    store.update(|document| change(document, model))
}

fn is_prepared(document: &Document, model: Option<&ModelSource>, fresh: Fresh) -> bool {
    let follower =
        document.endpoints.get(ENDPOINT).and_then(|found| found.deployments.get(DEPLOYMENT));
    match (follower, model) {
        (Some(deployment), Some(model)) => deployment.model == model.to_string(),
        _ => fresh == Fresh::Bare || !document.endpoints.is_empty(),
    }
}

fn change(document: &mut Document, model: Option<&ModelSource>) -> Result<(), AdminError> {
    let model = model.cloned().unwrap_or_default().to_string();
    let follower = document
        .endpoints
        .get_mut(ENDPOINT)
        .and_then(|endpoint| endpoint.deployments.get_mut(DEPLOYMENT));
    if let Some(deployment) = follower {
        deployment.model = model;
        return Ok(());
    }
    put_endpoint(document, ENDPOINT, EndpointSpec::default())?;
    let spec = DeploymentSpec { model, ..DeploymentSpec::default() };
    put_deployment(document, ENDPOINT, DEPLOYMENT, spec)?;
    let traffic = Some([(DEPLOYMENT.to_owned(), 100)].into());
    put_endpoint(document, ENDPOINT, EndpointSpec { traffic, ..EndpointSpec::default() })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_deployment_follows_the_model_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let file = ModelSource::File("/models/a.pt".into());
        let start = |model| prepare(&store, model, Fresh::Furnished).unwrap();
        let model =
            || store.read().unwrap().endpoints["medparse"].deployments["default"].model.clone();
        prepare(&store, Some(&file), Fresh::Bare).unwrap();
        assert!(store.read().unwrap().endpoints.is_empty());
        start(None);
        assert_eq!(model(), "bundled");
        start(Some(&file));
        assert_eq!(model(), "/models/a.pt");
        let revision = store.read().unwrap().revision;
        start(None);
        start(Some(&file));
        assert_eq!(store.read().unwrap().revision, revision);
        let rename = |document: &mut Document| {
            let endpoint = document.endpoints.remove("medparse").unwrap();
            document.endpoints.insert("ward7".to_owned(), endpoint);
            Ok::<_, AdminError>(())
        };
        store.update(rename).unwrap();
        start(Some(&ModelSource::Bundled));
        let document = store.read().unwrap();
        assert_eq!(document.endpoints.keys().collect::<Vec<_>>(), ["ward7"]);
        assert_eq!(document.endpoints["ward7"].deployments["default"].model, "/models/a.pt");
    }
}
