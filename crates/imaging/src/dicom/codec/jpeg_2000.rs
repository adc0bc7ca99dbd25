//! JPEG 2000 (ITU-T T.800) by `hayro-jpeg2000`, which is safe Rust throughout.

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use super::{Chroma, CodecError, Decoded, expect_shape};
use crate::dicom::frames::FrameShape;

pub fn decode(bytes: &[u8], shape: &FrameShape) -> Result<Decoded, CodecError> {
    let codestream = codestream(bytes);
    if codestream.len() < 40 {
        return Err(CodecError::Truncated);
    }
    let failed =
        |error: hayro_jpeg2000::DecodeError| CodecError::damaged(format!("JPEG 2000: {error}"));
    let signed = component_signs(codestream)?;
    // Strict: a codestream that ends early is an error, not a blurred picture.
    let settings =
        DecodeSettings { strict: true, resolve_palette_indices: false, target_resolution: None };
    let image = Image::new(codestream, &settings).map_err(failed)?;
    expect_shape(shape, (image.width() as usize, image.height() as usize, signed.len()))?;
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(failed)?;
    let components = decoded.components();
    let bits = u32::from(image.original_bit_depth());
    let pixels = shape.columns * shape.rows;
    let whole = |component: &hayro_jpeg2000::ComponentData| {
        component.samples().len() == pixels && u32::from(component.bit_depth()) == bits
    };
    if components.len() != shape.components || !components.iter().all(whole) || bits > 24 {
        return Err(CodecError::unsupported(
            "JPEG 2000 with components of several sizes or depths",
        ));
    }
    let mut samples = vec![0; shape.samples()];
    for (index, (component, signed)) in components.iter().zip(signed).enumerate() {
        // The decoder lifts every component by half its range, signed ones too.
        let lift = if signed { 1 << (bits - 1) } else { 0 };
        let most = (1_i32 << bits) - 1;
        let own = samples.iter_mut().skip(index).step_by(shape.components);
        for (sample, value) in own.zip(component.samples()) {
            *sample = (value.round() as i32).clamp(0, most) - lift;
        }
    }
    // The transforms to red, green and blue are part of the codestream.
    Ok(Decoded { samples, bits, color: Chroma::Rgb })
}

/// The codestream, out of its JP2 boxes where a file has them against the rule (PS3.5 section A.4.4).
fn codestream(bytes: &[u8]) -> &[u8] {
    const START: &[u8] = b"\xff\x4f\xff\x51";
    if bytes.starts_with(START) {
        return bytes;
    }
    let start = bytes.windows(4).position(|four| four == START);
    start.map_or(bytes, |start| &bytes[start..])
}

/// Whether each component is signed (T.800 section A.5.1, `Ssiz`).
fn component_signs(codestream: &[u8]) -> Result<Vec<bool>, CodecError> {
    let count = codestream.get(40..42).and_then(|raw| raw.try_into().ok()).map(u16::from_be_bytes);
    let count = usize::from(count.ok_or(CodecError::Truncated)?);
    let raw = codestream.get(42..42 + 3 * count).ok_or(CodecError::Truncated)?;
    Ok(raw.as_chunks::<3>().0.iter().map(|[size, ..]| size & 0x80 != 0).collect())
}
