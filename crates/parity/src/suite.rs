//! Runs a network on a golden case, whatever computes it, and compares every stage it passes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use burn::tensor::{Int, Tensor, TensorData};
use medparse::bank::ClassBank;
use medparse::picture::{RgbView, Size};
use medparse::preprocess::{Normalization, normalize, resize_bicubic};
use medparse::runtime::{BurnRuntime, Runtime};
use medparse::selection::Embeddings;
use medparse::tokenizer::{CONTEXT_LENGTH, Tokenizer, Tokens};
use medparse_engine::{Engine, Trace};
use medparse_imaging::Picture;
use medparse_network::{GroundingTokens, Keep, NetworkConfig, Probe};

use crate::compare::Row;
use crate::golden::{Floor, GoldenCase};

mod judge;

use judge::Judge;

/// A network, what computes it, and its class bank, ready to be held against golden cases.
pub struct Subject {
    runtime: Runtime,
    config: NetworkConfig,
    bank: ClassBank,
}

/// A picture's encoding and the verdicts gathered on the way.
pub struct SeenPicture {
    size: Size,
    image: Image,
    rows: Vec<Row>,
}

enum Image {
    Engine(medparse_engine::EncodedImage),
    Burn(Box<medparse_network::EncodedImage>),
}

/// What the object queries say in the end.
struct Said {
    /// `[Q, C]`.
    queries: Embeddings,
    /// `[Q, side, side]`.
    masks: Vec<f32>,
}

impl Subject {
    /// Takes a network and computes its class bank.
    pub fn new(runtime: impl Into<Runtime>, config: NetworkConfig) -> Self {
        let runtime = runtime.into();
        let bank = ClassBank::compute(&runtime, &mut |_, _| ());
        Self { runtime, config, bank }
    }

    /// Encodes `picture`, comparing each stage that `golden` holds.
    pub fn see(
        &self,
        picture: &Picture,
        golden: &GoldenCase,
        floors: &BTreeMap<String, Floor>,
    ) -> SeenPicture {
        let side = self.config.image_size;
        let mut judge = Judge::new(golden, floors, &self.config);
        let view = RgbView::of(picture).expect("a picture has its pixels");
        let square = resize_bicubic(&view, Size::square(side));
        let planes: Vec<u8> =
            (0..3).flat_map(|channel| square.iter().skip(channel).step_by(3).copied()).collect();
        judge.exact("pre.image_u8", &planes);
        let normalization =
            Normalization { mean: self.config.pixel_mean, std: self.config.pixel_std };
        let input = normalize(&square, &normalization);
        judge.close("pre.input", &input);
        let image = match &self.runtime {
            Runtime::Engine(engine) => {
                Image::Engine(engine.encode_image(&input, &mut Trace::stages(&mut judge)))
            }
            Runtime::Burn(burn) => {
                let input = TensorData::new(input, [1, 3, side, side]);
                let input = Tensor::from_data(input, burn.device());
                let judge = &mut Probe::new(&mut judge);
                Image::Burn(burn.network().encode_image(input, judge).into())
            }
        };
        SeenPicture { size: view.size(), image, rows: judge.rows }
    }

    /// Asks a seen picture for the golden case's prompts, comparing every further stage; the
    /// verdicts on the picture's own stages come first.
    ///
    /// # Errors
    /// When another subject saw the picture.
    pub fn ask(
        &self,
        seen: &SeenPicture,
        golden: &GoldenCase,
        floors: &BTreeMap<String, Floor>,
    ) -> Result<Vec<Row>> {
        let mut judge = Judge::new(golden, floors, &self.config);
        judge.rows = seen.rows.clone();
        judge.bank = Some((&self.bank, self.runtime.logit_scale()));
        judge.close("text.class_prompts_embeddings", self.bank.rows().values());

        let phrases: Vec<Tokens> =
            golden.prompts.iter().map(|prompt| Tokenizer::new().encode(prompt)).collect();
        let ids = padded(&phrases, &mut judge);
        let (said, sentences) = match (&self.runtime, &seen.image) {
            (Runtime::Engine(engine), Image::Engine(image)) => {
                ask_engine(engine, image, (&phrases, &ids), &mut judge)
            }
            (Runtime::Burn(burn), Image::Burn(image)) => {
                ask_burn(burn, image, (&phrases, &ids), &mut judge)?
            }
            _ => bail!("another subject saw the picture"),
        };
        judge.close("final.pred_captions", said.queries.values());
        judge.close("final.pred_masks", &said.masks);
        let logits = judge.class_logits(&said.queries);
        judge.close("final.pred_logits", &logits);
        judge.selection(&said.queries, &sentences, &logits);
        judge.matched_masks(&said.masks, &golden.matched_id, seen.size);
        judge.absent_stages();
        Ok(judge.rows)
    }
}

/// Phrases padded to the whole context, as the reference runs them.
fn padded(phrases: &[Tokens], judge: &mut Judge) -> Vec<[u32; CONTEXT_LENGTH]> {
    let ids: Vec<[u32; CONTEXT_LENGTH]> = phrases.iter().map(Tokens::padded).collect();
    let numbers: Vec<f64> = ids.iter().flatten().map(|&id| f64::from(id)).collect();
    judge.exact("text.input_ids", &numbers);
    let attention = phrases.iter().flat_map(|phrase| {
        let length = phrase.ids().len();
        (0..CONTEXT_LENGTH).map(move |at| u8::from(at < length))
    });
    judge.exact("text.attention_mask", &attention.collect::<Vec<_>>());
    ids
}

/// The engine's answer, and its embeddings of the phrases.
fn ask_engine(
    engine: &Engine,
    image: &medparse_engine::EncodedImage,
    (phrases, padded): (&[Tokens], &[[u32; CONTEXT_LENGTH]]),
    judge: &mut Judge,
) -> (Said, Embeddings) {
    // Stages come in the reference's length, the answer from the phrases' own.
    let ids: Vec<&[u32]> = padded.iter().map(<[u32; CONTEXT_LENGTH]>::as_slice).collect();
    judge.skipped = Some("text.class_emb");
    engine.encode_text(&ids, &mut Trace::stages(judge));
    judge.skipped = None;
    let ids: Vec<&[u32]> = phrases.iter().map(Tokens::ids).collect();
    let text = engine.encode_text(&ids, &mut Trace::none());
    judge.close("text.class_emb", &text.sentences);
    let decoded = engine.decode(image, &text.tokens, &mut Trace::stages(judge));
    let queries = Embeddings::new(decoded.class_embed.clone(), decoded.width);
    let all: Vec<usize> = (0..queries.count()).collect();
    let masks = engine.masks(image, &decoded, &all);
    (Said { queries, masks }, Embeddings::new(text.sentences, text.width))
}

/// The answer of the network in burn, and its embeddings of the phrases.
fn ask_burn(
    burn: &BurnRuntime,
    image: &medparse_network::EncodedImage,
    (phrases, padded): (&[Tokens], &[[u32; CONTEXT_LENGTH]]),
    judge: &mut Judge,
) -> Result<(Said, Embeddings)> {
    let ids: Vec<i64> = padded.iter().flatten().map(|&id| id.into()).collect();
    let ids = TensorData::new(ids, [phrases.len(), CONTEXT_LENGTH]);
    let ids = Tensor::<2, Int>::from_data(ids, burn.device());
    let lengths: Vec<usize> = phrases.iter().map(|phrase| phrase.ids().len()).collect();
    let text = burn.network().encode_text(ids, &lengths, &mut Probe::new(judge));
    let rows = lengths
        .iter()
        .enumerate()
        .map(|(phrase, &length)| text.tokens.clone().narrow(0, phrase, 1).narrow(1, 0, length));
    let tokens = Tensor::cat(rows.collect(), 1);
    let words = GroundingTokens { tokens, padding: None };
    let kept = burn.network().decode(image, words, Keep::Last, &mut Probe::new(judge));
    let heads = kept.into_iter().next_back().context("the decoder gave no answer")?;
    let said = Said { queries: embeddings(heads.class_embed), masks: values(heads.masks) };
    Ok((said, embeddings(text.sentences.unsqueeze())))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("just converted to f32")
}

/// `[1, rows, width]` as rows.
fn embeddings(tensor: Tensor<3>) -> Embeddings {
    let width = tensor.dims()[2];
    Embeddings::new(values(tensor), width)
}
