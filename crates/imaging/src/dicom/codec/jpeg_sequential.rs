//! Sequential JPEG of 12 bits (ITU-T T.81, extended process 4), gray.

use super::CodecError;
use super::jpeg_huffman::{Bits, Markers, Step};

/// The order in which coefficients are written (T.81 figure A.6).
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

pub fn samples(bytes: &[u8]) -> Result<Vec<i32>, CodecError> {
    let missing = |what: &str| CodecError::damaged(format!("its JPEG lacks {what}"));
    let mut markers = Markers::new(bytes)?;
    let Step::Frame(frame) = markers.step()? else {
        return Err(missing("a frame header"));
    };
    let [component] = frame.components[..] else {
        return Err(CodecError::unsupported("JPEG of 12 bits in colour"));
    };
    let Step::Scan(scan, bits) = markers.step()? else {
        return Err(missing("a scan"));
    };
    let tables = &markers.tables;
    let part = scan.components.first().ok_or_else(|| missing("a component"))?;
    let (dc, ac) = (tables.dc_table(part.dc_table)?, tables.ac_table(part.ac_table)?);
    let quantization = tables
        .quantization
        .get(usize::from(component.quantization))
        .and_then(Option::as_ref)
        .ok_or_else(|| missing("a quantization table"))?;

    let cosines = cosines();
    let offset = 1 << (frame.precision - 1);
    let most = (1 << frame.precision) - 1;
    let mut samples = vec![0; frame.rows * frame.columns];
    let mut bits = Bits::new(bits);
    let mut last_dc = 0_i32;
    let across = frame.columns.div_ceil(8);
    for block in 0..across * frame.rows.div_ceil(8) {
        if tables.restart_interval > 0 && block > 0 && block % tables.restart_interval == 0 {
            bits.restart()?;
            last_dc = 0;
        }
        let mut coefficients = [0.0_f32; 64];
        let category = bits.symbol(dc)?;
        if category > 15 {
            return Err(CodecError::damaged("a JPEG difference of more than 15 bits"));
        }
        last_dc = last_dc.wrapping_add(bits.number(category)?);
        coefficients[0] = last_dc as f32 * f32::from(quantization[0]);
        let mut at = 1;
        while at < 64 {
            let symbol = bits.symbol(ac)?;
            let (run, category) = (usize::from(symbol >> 4), symbol & 15);
            if category == 0 {
                if run < 15 {
                    break;
                }
                at += 16;
                continue;
            }
            at += run;
            let place = *ZIGZAG
                .get(at)
                .ok_or_else(|| CodecError::damaged("a JPEG block has more than 64 coefficients"))?;
            coefficients[place] = bits.number(category)? as f32 * f32::from(quantization[at]);
            at += 1;
        }
        let values = inverse_dct(&coefficients, &cosines);
        let (left, top) = (block % across * 8, block / across * 8);
        for (y, row) in values.as_chunks::<8>().0.iter().enumerate().take(frame.rows - top) {
            let start = (top + y) * frame.columns + left;
            let line = &mut samples[start..(start + 8).min((top + y + 1) * frame.columns)];
            for (sample, value) in line.iter_mut().zip(row) {
                *sample = (value.round() as i32 + offset).clamp(0, most);
            }
        }
    }
    Ok(samples)
}

/// `[frequency][place]`: cos((2 place + 1) frequency π / 16), halved, and by √½ where the frequency is 0.
fn cosines() -> [[f32; 8]; 8] {
    std::array::from_fn(|frequency| {
        let scale = if frequency == 0 { std::f64::consts::FRAC_1_SQRT_2 } else { 1.0 };
        std::array::from_fn(|place| {
            let angle = (2 * place + 1) as f64 * frequency as f64 * std::f64::consts::PI / 16.0;
            (angle.cos() * scale / 2.0) as f32
        })
    })
}

/// T.81 section A.3.3, rows first, then columns.
fn inverse_dct(coefficients: &[f32; 64], cosines: &[[f32; 8]; 8]) -> [f32; 64] {
    let mut rows = [0.0; 64];
    for v in 0..8 {
        for x in 0..8 {
            rows[v * 8 + x] = (0..8).map(|u| coefficients[v * 8 + u] * cosines[u][x]).sum();
        }
    }
    let mut block = [0.0; 64];
    for y in 0..8 {
        for x in 0..8 {
            block[y * 8 + x] = (0..8).map(|v| rows[v * 8 + x] * cosines[v][y]).sum();
        }
    }
    block
}
