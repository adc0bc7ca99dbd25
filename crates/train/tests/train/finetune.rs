//! Fine-tuning from a PyTorch checkpoint: what is frozen stays, what is missing is added.

use crate::support;

use std::path::{Path, PathBuf};

use medparse::{LoadOptions, Model, ModelSource, Prompt};
use medparse_imaging::procedural;
use medparse_train::config::NetworkChoice;
use medparse_train::{MODEL_FILE, TrainConfig, TrainError, Trainer};
use medparse_weights::Checkpoint;

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tiny/tiny.pt")
}

fn config(data: &Path, output: &Path) -> TrainConfig {
    TrainConfig {
        network: NetworkChoice::default(),
        from: Some(ModelSource::File(tiny())),
        image_size: Some(64),
        presence_head: Some(true),
        freeze: vec!["backbone.".into()],
        ..support::config(data, output, 1.0)
    }
}

#[test]
fn frozen_layers_stay_and_a_presence_head_is_added() {
    let (data, output) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    support::draw(data.path());
    let config = config(data.path(), output.path());
    let before = Checkpoint::open(tiny()).unwrap();
    support::train(config.clone(), |_| false);
    let path = output.path().join(MODEL_FILE);
    let after = Checkpoint::open(&path).unwrap();
    let changed = |prefix: &str| {
        let keys =
            before.names().filter(|name| name.starts_with(prefix) && after.get(name).is_some());
        let pairs = keys.map(|name| {
            let read = |from: &Checkpoint| from.require(name).unwrap().read_f32().unwrap();
            usize::from(read(&before) != read(&after))
        });
        pairs.sum::<usize>()
    };
    assert_eq!(changed("backbone."), 0);
    assert!(changed("sem_seg_head.pixel_decoder.") > 20);

    let model =
        Model::load(&ModelSource::File(path), &LoadOptions::default(), &mut |_| ()).unwrap();
    let picture = procedural::cells(80, 60, 1).unwrap().picture;
    let answers = model.segment(&picture, &Prompt::split("liver").unwrap()).unwrap();
    assert!(answers[0].presence.is_some_and(|presence| (0.0..=1.0).contains(&presence)));
}

#[test]
fn freezing_nothing_is_an_error() {
    let (data, output) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    support::draw(data.path());
    let config = TrainConfig {
        freeze: vec!["backbon.".into(), "back bone".into()],
        ..config(data.path(), output.path())
    };
    let error = Trainer::new(config).err().unwrap();
    assert!(matches!(&error, TrainError::Freeze { prefix } if prefix == "backbon."), "{error}");
    assert!(error.to_string().contains("no weight's key begins with \"backbon.\""), "{error}");
}
