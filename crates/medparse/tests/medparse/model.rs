//! A model loaded from files and asked, against the reference's answers on the small network.

use crate::common;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use medparse::bank::ClassBank;
use medparse::card::{CARD_KEY, Description, NETWORK_KEY};
use medparse::convert::{ModelFormat, live_tensors, write_model};
use medparse::parts::{Progress, Work};
use medparse::preprocess::Fit;
use medparse::volume::{VolumeError, VolumeOptions, segment_volume};
use medparse::{LoadOptions, Model, ModelError, ModelSource, Prompt, SegmentError, SegmentOptions};
use medparse_imaging::{Picture, View, Volume, procedural};
use medparse_network::CLASS_BANK_KEY;
use medparse_weights::{Checkpoint, FloatType, TensorSource, write_safetensors};

fn fixture(name: &str) -> PathBuf {
    common::path("tiny").join(name)
}

fn options() -> LoadOptions {
    // The YAML beside the checkpoint names no size; the reference ran this network at 256.
    LoadOptions { image_size: Some(256), ..LoadOptions::default() }
}

fn load(path: &Path, options: &LoadOptions) -> Result<Model, ModelError> {
    Model::load(&ModelSource::File(path.into()), options, &mut |_| ())
}

fn tiny() -> Model {
    load(&fixture("tiny.pt"), &options()).unwrap()
}

#[test]
fn answers_equal_the_reference() {
    let model = tiny();
    let picture = Picture::open(fixture("picture.png")).unwrap();
    for case in ["a", "b", "c"] {
        let golden = std::fs::read_to_string(fixture(&format!("case_{case}.json"))).unwrap();
        let golden: serde_json::Value = serde_json::from_str(&golden).unwrap();
        let numbers = |key: &str| -> Vec<f64> {
            golden[key].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect()
        };
        let phrases: Vec<&str> =
            golden["prompts"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
        let prompts = Prompt::split(&phrases.join("&")).unwrap();
        let answers = model.segment(&picture, &prompts).unwrap();
        let queries: Vec<f64> = answers.iter().map(|a| a.query as f64).collect();
        assert_eq!(queries, numbers("matched_id"), "case {case}");
        let classes: Vec<f64> = answers.iter().map(|a| a.class_with_background as f64).collect();
        assert_eq!(classes, numbers("matched_class"), "case {case}");
        let pixels = 310.0 * 230.0;
        for (answer, fraction) in answers.iter().zip(numbers("fraction_above_half")) {
            let difference = (answer.area as f64 - fraction * pixels).abs();
            // A pixel within 1e-4 of one half may fall on either side; there are fewer than 50.
            assert!(difference < 50.0, "case {case}: {} px, expected {fraction}", answer.area);
        }
    }
}

#[test]
fn one_encoding_serves_many_questions() {
    let model = tiny();
    let picture = procedural::cells(90, 70, 5).unwrap().picture;
    let encoded = model.encode(&picture).unwrap();
    let options = SegmentOptions { threshold: 0.3, ..SegmentOptions::default() };
    for phrases in ["liver", "polyp & nuclei", "liver"] {
        let prompts = Prompt::split(phrases).unwrap();
        let asked = model.ask(&encoded, &prompts, &options).unwrap();
        assert_eq!(asked, model.segment_with(&picture, &prompts, &options).unwrap());
        assert!(asked.iter().all(|answer| answer.mask.dimensions() == (90, 70)));
    }
    assert!(matches!(model.ask(&encoded, &[], &options), Err(SegmentError::NoPrompt)));
}

#[test]
fn a_picture_that_another_model_encoded_is_refused() {
    let encoded = tiny().encode(&procedural::cells(64, 64, 5).unwrap().picture).unwrap();
    let asked = tiny().ask(&encoded, &Prompt::split("liver").unwrap(), &SegmentOptions::default());
    assert!(matches!(asked, Err(SegmentError::Foreign)), "{asked:?}");
}

#[test]
fn an_encoding_that_nobody_waits_for_ends() {
    let model = tiny();
    let picture = procedural::cells(64, 64, 5).unwrap().picture;
    let asked = Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() > 3
    };
    let outcome = model.encode_until(&picture, model.fit(), &stop);
    assert!(matches!(outcome, Err(SegmentError::Stopped)));
    let whole = model.encode_until(&picture, model.fit(), &|| false).unwrap();
    let prompts = Prompt::split("liver").unwrap();
    let answers = model.ask(&whole, &prompts, &SegmentOptions::default()).unwrap();
    assert_eq!(answers[0].mask, model.segment(&picture, &prompts).unwrap()[0].mask);
}

#[test]
fn a_volume_that_nobody_waits_for_ends_between_slices() {
    let values = (0..16 * 12 * 4).map(|at| (at % 97) as f32).collect();
    let volume = Volume::from_gray([16, 12, 4], values).unwrap();
    let options = VolumeOptions::of(View::stored(volume.dimensions()));
    let prompts = Prompt::split("liver").unwrap();
    let done = AtomicUsize::new(0);
    let mut heard = |progress: Progress| done.store(progress.done, Ordering::Relaxed);
    let stop = || done.load(Ordering::Relaxed) == 2;
    let mut work = Work { stop: &stop, ..Work::new(&mut heard) };
    let outcome = segment_volume(&tiny(), &volume, &prompts, &options, &mut work);
    assert!(
        matches!(outcome, Err(VolumeError::Slice { slice: 2, error: SegmentError::Stopped })),
        "{outcome:?}"
    );
    assert_eq!(done.load(Ordering::Relaxed), 2);
}

#[test]
fn padding_is_undone() {
    let model = tiny().with_fit(Fit::Pad);
    let picture = procedural::cells(120, 40, 5).unwrap().picture;
    let answers = model.segment(&picture, &Prompt::split("nuclei").unwrap()).unwrap();
    assert_eq!(answers[0].probability.size().to_string(), "120 x 40");
    assert_ne!(
        answers[0].probability,
        tiny().segment(&picture, &Prompt::split("nuclei").unwrap()).unwrap()[0].probability
    );
}

#[test]
fn a_class_bank_in_the_file_is_the_one_that_is_computed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.safetensors");
    let computed = tiny();
    save(&path, Some(computed.class_bank()));
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert!(checkpoint.get(CLASS_BANK_KEY).is_some());
    assert_eq!(load(&path, &LoadOptions::default()).unwrap().class_bank(), computed.class_bank());
}

/// The tiny network as safetensors.
fn save(path: &Path, bank: Option<&ClassBank>) {
    let model = tiny();
    let checkpoint = Checkpoint::open(fixture("tiny.pt")).unwrap();
    let tensors = live_tensors(&checkpoint, model.network(), FloatType::F32).unwrap();
    let description = Description { network: model.network().clone(), card: model.card().clone() };
    let format = ModelFormat::Safetensors;
    write_model(path, format, tensors, &description, bank, &mut |_| ()).unwrap();
}

#[test]
fn without_a_configuration_the_published_one_is_assumed_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pt");
    std::fs::copy(fixture("tiny.pt"), &path).unwrap();
    let error = load(&path, &LoadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("of another shape"), "{error}");
    assert!(
        error.contains("The configuration of the published BiomedParse was assumed"),
        "{error}"
    );
    assert!(error.contains("model.yaml"), "{error}");
    // A YAML beside the file is found.
    std::fs::copy(fixture("tiny_config.yaml"), folder.path().join("model.yaml")).unwrap();
    load(&path, &options()).unwrap();
}

#[test]
fn what_does_not_fit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::open(fixture("tiny.pt")).unwrap();
    let model = tiny();
    let description = Description { network: model.network().clone(), card: model.card().clone() };
    let metadata = medparse::convert::metadata(&description);
    let tensors = || live_tensors(&checkpoint, model.network(), FloatType::F32).unwrap();
    let write = |name: &str, tensors: &[TensorSource], metadata: &BTreeMap<String, String>| {
        let path = folder.path().join(name);
        write_safetensors(&path, tensors, metadata, &mut |_| ()).unwrap();
        load(&path, &LoadOptions::default()).unwrap_err().to_string()
    };

    let mut missing = tensors();
    let key = missing.remove(0).name().to_owned();
    let error = write("missing.safetensors", &missing, &metadata);
    assert!(error.contains(&format!("1 missing: `{key}`")), "{error}");

    let mut unknown = tensors();
    unknown.push(TensorSource::values("backbone.extra", [1], FloatType::F32, vec![1.0f32]));
    let error = write("unknown.safetensors", &unknown, &metadata);
    assert!(error.contains("1 unknown: `backbone.extra`"), "{error}");

    let mut bank = tensors();
    let values = vec![0.0f32; 16 * 64];
    bank.push(TensorSource::values(CLASS_BANK_KEY, [16, 64], FloatType::F32, values));
    let error = write("bank.safetensors", &bank, &metadata);
    assert!(error.contains("has shape [16, 64], expected [17, 64]"), "{error}");

    for key in [NETWORK_KEY, CARD_KEY] {
        let mut broken = metadata.clone();
        broken.insert(key.into(), "{\"no\": 1}".into());
        let error = write("metadata.safetensors", &tensors(), &broken);
        assert!(error.contains(&format!("its metadata `{key}` can't be read")), "{error}");
    }
}

#[test]
fn half_precision_stays_near() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::open(fixture("tiny.pt")).unwrap();
    let exact = tiny();
    let description = Description { network: exact.network().clone(), card: exact.card().clone() };
    let picture = procedural::cells(64, 64, 2).unwrap().picture;
    let prompts = Prompt::split("neoplastic cells").unwrap();
    let expected = exact.segment(&picture, &prompts).unwrap();
    // f16 keeps 11 bits of each weight, bf16 8; the masks' probabilities move accordingly.
    for (float, tolerance) in [(FloatType::F16, 0.02), (FloatType::BF16, 0.15)] {
        let path = folder.path().join("half.safetensors");
        let tensors = live_tensors(&checkpoint, exact.network(), float).unwrap();
        let format = ModelFormat::Safetensors;
        write_model(&path, format, tensors, &description, None, &mut |_| ()).unwrap();
        let answers =
            load(&path, &LoadOptions::default()).unwrap().segment(&picture, &prompts).unwrap();
        let pairs = answers[0].probability.values().iter().zip(expected[0].probability.values());
        let mean = pairs.map(|(a, b)| (a - b).abs()).sum::<f32>() / (64.0 * 64.0);
        assert!(mean < tolerance, "{float:?}: mean difference {mean}");
    }
}
