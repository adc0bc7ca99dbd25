//! Lossless JPEG (ITU-T T.81, annex H; process 14): each sample from its neighbours, all seven predictors.

use super::CodecError;
use super::jpeg_huffman::{Bits, Frame, Huffman, Markers, Scan, Step, Tables};

/// Interleaved samples of all components.
pub fn samples(bytes: &[u8]) -> Result<Vec<i32>, CodecError> {
    let mut markers = Markers::new(bytes)?;
    let Step::Frame(frame) = markers.step()? else {
        return Err(CodecError::damaged("its JPEG has no frame header"));
    };
    if frame.components.iter().any(|own| (own.horizontal, own.vertical) != (1, 1)) {
        return Err(CodecError::unsupported("lossless JPEG with components of several sizes"));
    }
    if !(2..=16).contains(&frame.precision) {
        return Err(CodecError::damaged(format!("lossless JPEG of {} bits", frame.precision)));
    }
    let mut samples = vec![0; frame.rows * frame.columns * frame.components.len()];
    let mut done = 0;
    while done < frame.components.len() {
        match markers.step()? {
            Step::Scan(scan, bits) => {
                let rest = decode(&frame, &scan, &markers.tables, bits, &mut samples)?;
                done += scan.components.len();
                markers.skip_to(rest);
            }
            Step::Frame(_) => return Err(CodecError::damaged("its JPEG has two frame headers")),
            Step::End => return Err(CodecError::damaged("its JPEG lacks a component's scan")),
        }
    }
    Ok(samples)
}

fn decode<'a>(
    frame: &Frame,
    scan: &Scan,
    tables: &Tables,
    bits: &'a [u8],
    samples: &mut [i32],
) -> Result<&'a [u8], CodecError> {
    let stride = frame.components.len();
    let line = frame.columns * stride;
    if !(1..=7).contains(&scan.start) || scan.shift >= frame.precision {
        return Err(CodecError::damaged(format!("lossless JPEG with predictor {}", scan.start)));
    }
    let parts: Vec<(usize, &Huffman)> = scan
        .components
        .iter()
        .map(|part| Ok((part.index, tables.dc_table(part.dc_table)?)))
        .collect::<Result<_, CodecError>>()?;
    let middle = 1 << (frame.precision - scan.shift - 1);
    let mut bits = Bits::new(bits);
    let mut since_restart = 0;
    // The row that prediction began in, at the start and after every restart.
    let mut first_row = 0;
    for row in 0..frame.rows {
        for column in 0..frame.columns {
            if tables.restart_interval > 0 && since_restart == tables.restart_interval {
                bits.restart()?;
                since_restart = 0;
                first_row = row;
            }
            let starts = since_restart == 0;
            since_restart += 1;
            for &(component, table) in &parts {
                let at = row * line + column * stride + component;
                let predicted = if starts {
                    middle
                } else if row == first_row {
                    samples[at - stride]
                } else if column == 0 {
                    samples[at - line]
                } else {
                    let (left, above, corner) =
                        (samples[at - stride], samples[at - line], samples[at - line - stride]);
                    match scan.start {
                        1 => left,
                        2 => above,
                        3 => corner,
                        4 => left + above - corner,
                        5 => left + ((above - corner) >> 1),
                        6 => above + ((left - corner) >> 1),
                        _ => (left + above) >> 1,
                    }
                };
                let difference = match bits.symbol(table)? {
                    16 => 32_768,
                    category @ 0..=15 => bits.number(category)?,
                    other => {
                        return Err(CodecError::damaged(format!(
                            "a lossless JPEG difference of {other} bits"
                        )));
                    }
                };
                samples[at] = (predicted + difference) & 0xffff;
            }
        }
    }
    if scan.shift > 0 {
        for &(component, _) in &parts {
            samples
                .iter_mut()
                .skip(component)
                .step_by(stride)
                .for_each(|sample| *sample <<= scan.shift);
        }
    }
    Ok(bits.rest())
}
