//! Changes of light, lens and sensor.

use rand::RngExt;

use crate::random::Random;

/// Brightness, contrast, gamma and, in coloured pictures, the balance of the channels.
///
/// `strength` 1 means changes as between two scanners or lamps; gray stays gray.
pub(super) fn jitter(planes: &mut [f32], strength: f32, random: &mut Random) {
    let area = planes.len() / 3;
    let mut draw = |reach: f32| random.random_range(-1.0..=1.0f32) * reach * strength;
    let (brightness, contrast, gamma) = (draw(32.0), draw(0.35).exp(), draw(0.35).exp());
    let (reds, rest) = planes.split_at(area);
    let coloured = reds.iter().zip(rest).any(|(red, green)| (red - green).abs() > 2.0);
    let gains =
        if coloured { [draw(0.12), draw(0.12), draw(0.12)].map(f32::exp) } else { [1.0; 3] };
    let saturation = if coloured { draw(0.5).exp() } else { 1.0 };
    let mean = planes.iter().sum::<f32>() / planes.len() as f32;
    for at in 0..area {
        let pixel = [planes[at], planes[area + at], planes[2 * area + at]];
        let gray = (pixel[0] + pixel[1] + pixel[2]) / 3.0;
        for channel in 0..3 {
            let value = gray + (pixel[channel] - gray) * saturation;
            let value = ((value - mean) * contrast + mean + brightness) * gains[channel];
            let value = (value / 255.0).clamp(0.0, 1.0).powf(gamma) * 255.0;
            planes[channel * area + at] = value;
        }
    }
}

/// A Gaussian blur with a deviation of `sigma` pixels.
pub(super) fn blur(planes: &mut [f32], side: usize, sigma: f32) {
    let reach = (2.5 * sigma).ceil() as i32;
    let weight = |offset: i32| (-0.5 * (offset as f32 / sigma).powi(2)).exp();
    let weights: Vec<f32> = (-reach..=reach).map(weight).collect();
    let total: f32 = weights.iter().sum();
    let mut line = vec![0.0f32; side];
    let mut along = |plane: &mut [f32], start: usize, stride: usize| {
        for (at, value) in line.iter_mut().enumerate() {
            let taps = weights.iter().zip(-reach..);
            let sum: f32 = taps
                .map(|(weight, offset)| {
                    let from = (at as i32 + offset).clamp(0, side as i32 - 1) as usize;
                    weight * plane[start + from * stride]
                })
                .sum();
            *value = sum / total;
        }
        for (at, value) in line.iter().enumerate() {
            plane[start + at * stride] = *value;
        }
    };
    for plane in planes.chunks_exact_mut(side * side) {
        for index in 0..side {
            along(plane, index * side, 1);
        }
        for index in 0..side {
            along(plane, index, side);
        }
    }
}

/// Noise of deviation `deviation` gray levels, the same in all channels.
pub(super) fn noise(planes: &mut [f32], deviation: f32, random: &mut Random) {
    let area = planes.len() / 3;
    for at in 0..area {
        // The sum of four uniform draws is as good as a normal one here.
        let sum: f32 = (0..4).map(|_| random.random_range(-1.0..1.0f32)).sum();
        let offset = sum * deviation * 0.866;
        for channel in 0..3 {
            let value = &mut planes[channel * area + at];
            *value = (*value + offset).clamp(0.0, 255.0);
        }
    }
}
