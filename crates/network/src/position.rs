//! The sine position encoding of DETR, with its quirks.

use std::f32::consts::TAU;

use burn::tensor::{Device, Tensor, TensorData};

/// `[1, channels, height, width]`: the first half of the channels encodes the row, the second
/// half the column.
///
/// Row `r` of `H` stands at `(r + 1) / (H + 1e-6) · 2π`; channel `i` of a half is the sine
/// (even `i`) or cosine (odd `i`) of that, divided by `10000^(2⌊i/2⌋ / (channels/2))`; all in
/// f32, as the reference computes it.
pub(crate) fn sine_encoding(
    channels: usize,
    height: usize,
    width: usize,
    device: &Device,
) -> Tensor<4> {
    let half = channels / 2;
    let rows = axis_encoding(half, height);
    let columns = axis_encoding(half, width);
    let mut values = Vec::with_capacity(channels * height * width);
    for channel in 0..half {
        for row in 0..height {
            values.extend(std::iter::repeat_n(rows[channel * height + row], width));
        }
    }
    for channel in 0..half {
        for _ in 0..height {
            values.extend_from_slice(&columns[channel * width..][..width]);
        }
    }
    Tensor::from_data(TensorData::new(values, [1, channels, height, width]), device)
}

/// `[channels, length]` of one axis.
fn axis_encoding(channels: usize, length: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(channels * length);
    for channel in 0..channels {
        let exponent = (2 * (channel / 2)) as f32 / channels as f32;
        let divisor = 10000f32.powf(exponent);
        for position in 0..length {
            let angle = (position + 1) as f32 / (length as f32 + 1e-6) * TAU / divisor;
            values.push(if channel % 2 == 0 { angle.sin() } else { angle.cos() });
        }
    }
    values
}
