//! A dataset of four drawn pictures in BiomedParse's folders, and a network that learns it.

use std::path::Path;

use medparse_imaging::{Mask, Picture};
use medparse_network::NetworkConfig;
use medparse_network::config::{
    BackboneConfig, PixelDecoderConfig, QueryDecoderConfig, TextEncoderConfig,
};
use medparse_train::config::{AugmentConfig, CheckConfig, LossConfig, NetworkChoice, PromptConfig};
use medparse_train::{Control, Event, TrainConfig, Trainer};

/// Side of the pictures, in pixels.
const SIDE: u32 = 96;

/// Each picture's bright disc (centre, radius) and dark square (corner, side).
const SCENES: [([i64; 3], [i64; 3]); 4] = [
    ([30, 34, 20], [54, 50, 32]),
    ([62, 28, 22], [8, 52, 36]),
    ([28, 66, 18], [50, 8, 40]),
    ([64, 64, 24], [6, 6, 34]),
];

/// Draws the pictures and their masks into `folder`.
pub fn draw(folder: &Path) {
    for name in ["train", "train_mask"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    for (index, (disc, square)) in SCENES.into_iter().enumerate() {
        let places =
            (0..i64::from(SIDE * SIDE)).map(|at| (at % i64::from(SIDE), at / i64::from(SIDE)));
        let in_disc =
            |(x, y): (i64, i64)| (x - disc[0]).pow(2) + (y - disc[1]).pow(2) < disc[2].pow(2);
        let in_square = |(x, y): (i64, i64)| {
            let within = |value: i64, from: i64| (from..from + square[2]).contains(&value);
            within(x, square[0]) && within(y, square[1])
        };
        let pixel = |place: (i64, i64)| {
            let ground = 100 + (place.0 * 7 + place.1 * 13) % 23;
            let gray = match (in_disc(place), in_square(place)) {
                (true, _) => 215,
                (_, true) => 25,
                _ => ground,
            };
            [gray as u8; 3]
        };
        let rgb = places.clone().flat_map(pixel).collect();
        let stem = format!("p{index}_CT_abdomen");
        let picture = Picture::from_rgb(SIDE, SIDE, rgb).unwrap();
        picture.save_png(folder.join(format!("train/{stem}.png"))).unwrap();
        let save = |name: &str, mask: Vec<u8>| {
            let mask = Mask::from_pixels(SIDE, SIDE, mask).unwrap();
            mask.save_png(folder.join(format!("train_mask/{stem}_{name}.png"))).unwrap();
        };
        save("liver", places.clone().map(|place| u8::from(in_disc(place))).collect());
        let visible = |place| u8::from(in_square(place) && !in_disc(place));
        save("left+kidney", places.map(visible).collect());
    }
}

/// The smallest network that has every part.
pub fn tiny() -> NetworkConfig {
    NetworkConfig {
        image_size: 96,
        pixel_mean: [123.675, 116.28, 103.53],
        pixel_std: [58.395, 57.12, 57.375],
        backbone: BackboneConfig {
            embed_dim: 16,
            depths: vec![1; 4],
            focal_levels: vec![2; 4],
            focal_windows: vec![3; 4],
            mlp_ratio: 2.0,
            patch_size: 4,
        },
        pixel_decoder: PixelDecoderConfig {
            conv_width: 32,
            mask_width: 32,
            encoder_layers: 1,
            heads: 4,
            feed_forward_width: 64,
        },
        query_decoder: QueryDecoderConfig {
            hidden_width: 32,
            heads: 4,
            feed_forward_width: 64,
            layers: 3,
            queries: 6,
        },
        text_encoder: TextEncoderConfig {
            width: 32,
            heads: 4,
            layers: 1,
            context_length: 77,
            vocabulary: 49_408,
        },
        projection_width: 32,
        presence_head: true,
    }
}

/// A run of `epochs` passes over the pictures, one step each.
pub fn config(data: &Path, output: &Path, epochs: f64) -> TrainConfig {
    let mut config = TrainConfig {
        data: data.into(),
        output: output.into(),
        name: Some("tiny".into()),
        network: NetworkChoice::Sizes(Box::new(tiny())),
        batch_size: 4,
        epochs,
        loss: LossConfig { points: 1024, ..LossConfig::default() },
        prompts: PromptConfig { at_most: 3, absent_share: 0.2, ..PromptConfig::default() },
        augmentation: AugmentConfig::none(),
        checks: CheckConfig {
            validation_fraction: 0.0,
            evaluate_every: 1_000_000,
            save_every: 1_000_000,
            ..CheckConfig::default()
        },
        ..TrainConfig::default()
    };
    config.optimizer.learning_rate = 2e-3;
    config.optimizer.warmup_steps = 20;
    config
}

/// Trains to the end, or until `stop` says so after a step.
pub fn train(config: TrainConfig, stop: impl Fn(u64) -> bool) -> Vec<f64> {
    let mut trainer = Trainer::new(config).unwrap();
    let mut losses = Vec::new();
    trainer
        .run(&mut |event| {
            if let Event::Step(report) = event {
                losses.push(report.terms.total);
                if stop(report.step) {
                    return Control::Stop;
                }
            }
            Control::Continue
        })
        .unwrap();
    losses
}
