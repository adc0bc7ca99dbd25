//! Weights computed from a tensor's name alone, equal to the bit on every machine.
//!
//! A network filled with them can be compared with the reference without a file changing hands: 64-bit FNV-1a of the name
//! seeds a SplitMix64 stream, one output per element in C order, whose upper 24 bits become u in [-1, 1); the value is
//! c + a·u with one `f32` rounding for each of the two operations. The centre c and amplitude a follow from the name and
//! shape: [`scale`] has the table.

/// Centre and amplitude of a tensor's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Where the values are centred.
    pub centre: f32,
    /// The largest distance from the centre.
    pub amplitude: f32,
}

/// The tensor's values in C order, `shape.iter().product()` many (one for a 0-D tensor).
///
/// # Panics
///
/// When the shape's product overflows or the values do not fit in memory, as any `Vec` of that size.
pub fn values(name: &str, shape: &[usize]) -> Vec<f32> {
    let Scale { centre, amplitude } = scale(name, shape);
    let count: usize = shape.iter().product();
    // Rust never contracts `a * b + c` into a fused multiply-add, so each operation rounds once, as the rule asks.
    unit_values(name, count).map(|unit| centre + amplitude * unit).collect()
}

/// The first `count` numbers of the name's own stream, each in [-1, 1) and exact in `f32`.
pub fn unit_values(name: &str, count: usize) -> impl ExactSizeIterator<Item = f32> {
    let seed = fnv1a(name.as_bytes());
    (0..count).map(move |i| unit(seed, i as u64 + 1))
}

/// The centre and amplitude for a tensor, by the first rule that fits.
pub fn scale(name: &str, shape: &[usize]) -> Scale {
    let last = name.rsplit('.').next().unwrap_or(name);
    let ends_with_any = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let constant = |centre| Scale { centre, amplitude: 0.0 };
    let around_zero = |amplitude| Scale { centre: 0.0, amplitude };

    if name.ends_with("logit_scale") {
        constant(4.0)
    } else if last == "dilation_kernel" {
        constant(1.0)
    } else if last == "gamma_1" || last == "gamma_2" {
        Scale { centre: 0.25, amplitude: 0.05 }
    } else if ends_with_any(&["query_feat.weight", "query_embed.weight"]) {
        around_zero(1.5)
    } else if name.ends_with("token_embedding.weight") {
        around_zero(1.0)
    } else if name.ends_with("positional_embedding") {
        around_zero(0.25)
    } else if ends_with_any(&[
        "level_embed.weight",
        "pn_indicator.weight",
        "spatial_embed.weight",
        "spatial_featured.weight",
    ]) {
        around_zero(0.5)
    } else if shape.len() == 1 {
        match last {
            "weight" => Scale { centre: 1.0, amplitude: 0.1 },
            _ => around_zero(0.05),
        }
    } else {
        around_zero(
            fan_in(name, last, shape)
                .map_or(0.0, |fan_in| (gain(name) * (3.0 / fan_in as f64).sqrt()) as f32),
        )
    }
}

/// Inputs of one output of a matrix or convolution, or `None` for ranks that have no such rule.
fn fan_in(name: &str, last: &str, shape: &[usize]) -> Option<usize> {
    // Matrices stored as [in, out], unlike a Linear's [out, in].
    let transposed =
        last == "class_embed" || last == "lang_proj" || name.contains("mask_sptial_embed");
    match *shape {
        [rows, _] if transposed => Some(rows),
        [_, columns] => Some(columns),
        [_, channels, height, width] => Some(channels * height * width),
        _ => None,
    }
}

/// A factor that keeps activations of an untrained network in a range where a comparison means something.
fn gain(name: &str) -> f64 {
    let within = |part: &str| name.contains(part);
    if within("mask_embed.layers.2") {
        0.5
    } else if within("in_proj_weight") {
        1.5
    } else if within("predictor.transformer_cross_attention_layers") && within("out_proj") {
        0.15
    } else if within("predictor.transformer_self_attention_layers") && within("out_proj") {
        0.3
    } else if within("predictor.transformer_ffn_layers") && within("linear2") {
        0.2
    } else {
        1.0
    }
}

/// 64-bit FNV-1a (Fowler, Noll, Vo).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The `i`-th output (from 1) of SplitMix64 (Steele, Lea, Flood 2014) seeded with `seed`, as a number in [-1, 1).
fn unit(seed: u64, i: u64) -> f32 {
    let mut z = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    // 24 bits times 2^-23, minus 1: every step is exact in f32.
    (z >> 40) as f32 * (1.0 / 8_388_608.0) - 1.0
}
