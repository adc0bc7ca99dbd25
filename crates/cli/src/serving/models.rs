//! Which models a server can load, and their loading.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use medparse::device::Processor;
use medparse::sources::installed::installed;
use medparse::{LoadOptions, Model, ModelSource, Precision, Provenance};
use medparse_server::{CatalogEntry, LoadError, ModelLoader, ModelSpec, Segmenter};

use super::segmenter::{ModelSegmenter, VERSION};

/// The models that a server can load: those that its command line names, the bundled one, those in
/// the hub's cache, and any file or hub repository that a deployment names.
pub struct Models {
    named: Vec<NamedModel>,
    processor: Processor,
    /// Whether models can be fetched.
    connects: bool,
}

struct NamedModel {
    name: String,
    source: ModelSource,
    options: LoadOptions,
}

impl Models {
    /// The models of a command line, or the bundled one. `options` say how the first of them is
    /// loaded; every model is computed by the same processor.
    pub fn new(mut sources: Vec<ModelSource>, options: LoadOptions) -> Self {
        if sources.is_empty() {
            sources.push(ModelSource::Bundled);
        }
        let processor = options.processor;
        let others = LoadOptions { processor, ..LoadOptions::default() };
        let options = std::iter::once(options).chain(std::iter::repeat(others));
        let named = sources.into_iter().zip(options);
        let named = named.map(|(source, options)| NamedModel {
            name: short_name(&source),
            source,
            options,
        });
        Self { named: named.collect(), processor, connects: true }
    }

    /// The same, for a server that is kept from opening connections.
    #[must_use]
    pub fn without_connections(self) -> Self {
        Self { connects: false, ..self }
    }

    /// The source that a deployment names and how to load it.
    fn find(&self, wanted: &str) -> Result<(ModelSource, LoadOptions), LoadError> {
        let named = self
            .named
            .iter()
            .find(|model| model.name == wanted || model.source.to_string() == wanted);
        if let Some(NamedModel { source, options, .. }) = named {
            return Ok((source.clone(), options.clone()));
        }
        let source: ModelSource =
            wanted.parse().map_err(|error| LoadError(format!("{wanted}: {error}")))?;
        if matches!(&source, ModelSource::File(path) if !path.exists()) {
            let known: Vec<_> = self.catalog().into_iter().map(|entry| entry.name).collect();
            return Err(LoadError(format!(
                "there is no model {wanted:?} on this machine: no file, and not one of {}",
                known.join(", ")
            )));
        }
        let options = LoadOptions { processor: self.processor, ..LoadOptions::default() };
        Ok((source, options))
    }
}

impl ModelLoader for Models {
    fn load(&self, spec: &ModelSpec) -> Result<Arc<dyn Segmenter>, LoadError> {
        let (source, mut options) = self.find(&spec.model)?;
        if let Some(precision) = &spec.precision {
            let parsed = precision.parse::<Precision>();
            options.precision = Some(parsed.map_err(|error| LoadError(error.to_string()))?);
        }
        let model = Model::load(&source, &options, &mut |_| ()).map_err(|error| {
            let barred = !self.connects && matches!(source, ModelSource::Hub(_));
            let hint = match barred {
                true => {
                    "; this server opens no connections: `medparse model pull` fetches the model, \
                         or start the server with --connect"
                }
                false => "",
            };
            LoadError(format!("{error}{hint}"))
        })?;
        let segmenter = ModelSegmenter::new(model, spec.threads)
            .map_err(|error| LoadError(format!("cannot start the model's threads: {error}")))?;
        if segmenter.provenance() != Provenance::Trained {
            tracing::warn!(
                model = segmenter.card().name,
                "an untrained network for trying the program: its masks mean nothing; \
                 name a trained model with --model"
            );
        }
        Ok(Arc::new(segmenter))
    }

    fn catalog(&self) -> Vec<CatalogEntry> {
        let entry =
            |name, description| CatalogEntry { name, version: VERSION.to_owned(), description };
        let mut entries: Vec<_> = self
            .named
            .iter()
            .map(|model| entry(model.name.clone(), format!("loaded from {}", model.source)))
            .collect();
        // The hub's settings were read when the server started; a change since then is reported by whoever pulls.
        for model in installed().unwrap_or_default() {
            match entries.iter_mut().find(|entry| entry.name == model.source) {
                Some(named) => named.description = model.summary,
                None => entries.push(entry(model.source, model.summary)),
            }
        }
        entries
    }
}

/// How clients call a model: a file by its name without folder and ending.
fn short_name(source: &ModelSource) -> String {
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    match source {
        ModelSource::File(path) => stem(path).unwrap_or_else(|| source.to_string()),
        ModelSource::Bundled | ModelSource::Hub(_) => source.to_string(),
    }
}

/// A source as the state keeps it: a file by its whole path, because servers start in other folders.
///
/// # Errors
/// When it names a file that is not there.
pub fn lasting(source: ModelSource, folder: &Path) -> std::io::Result<ModelSource> {
    match source {
        ModelSource::File(path) => Ok(ModelSource::File(whole_path(&path, folder)?)),
        other => Ok(other),
    }
}

fn whole_path(path: &Path, folder: &Path) -> std::io::Result<PathBuf> {
    // A link is kept: it may be moved to the next version of a model.
    std::path::absolute(folder.join(path)).and_then(|path| path.metadata().map(|_| path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(model: &str, precision: Option<&str>) -> ModelSpec {
        ModelSpec { model: model.into(), precision: precision.map(Into::into), threads: Some(1) }
    }

    fn tiny() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tiny/tiny.pt")
    }

    #[test]
    fn named_models_come_first_and_answer_to_both_names() {
        let path = tiny();
        let models = Models::new(vec![path.clone().into()], LoadOptions::default());
        let catalog = models.catalog();
        assert_eq!((&*catalog[0].name, &*catalog[1].name), ("tiny", "bundled"));
        for name in ["tiny", path.to_str().unwrap()] {
            assert_eq!(models.find(name).unwrap().0, ModelSource::File(path.clone()));
        }
        assert_eq!(models.find("bundled").unwrap().0, ModelSource::Bundled);
    }

    #[test]
    fn what_cannot_be_loaded_is_named() {
        let models = Models::new(Vec::new(), LoadOptions::default());
        let refusal =
            |spec: ModelSpec| models.load(&spec).err().map(|error| error.to_string()).unwrap();
        assert!(refusal(spec("absent", None)).starts_with("there is no model \"absent\""));
        assert!(refusal(spec("bundled", Some("fp4"))).contains("unknown precision \"fp4\""));
        assert!(refusal(spec("hub:nonsense", None)).starts_with("hub:nonsense: "));
    }
}
