//! The focal context of the four stages, `channels @ side`, and its parts.

use medparse_kernels::AlignedVec;
use medparse_kernels::depthwise::{FocalContext, FocalLevel, pack_depthwise};
use medparse_kernels::gemm::{Rows, RowsMut, plane_rows};
use medparse_kernels::peak::Format;

use crate::{Bench, Work, numbers};

const ALL: &[usize] = &[3, 5, 7, 9];

pub fn run(bench: &Bench) {
    if !bench.wants("focal") {
        return;
    }
    for (channels, side) in [(192, 256), (384, 128), (768, 64), (1536, 32)] {
        for kernels in [ALL, &ALL[..1], &ALL[3..]] {
            let (pixels, planes) = (side * side, plane_rows(side * side));
            let input = AlignedVec::from_slice(&numbers(channels * planes));
            let gates = numbers(pixels * 5);
            let packed: Vec<AlignedVec<f32>> = kernels
                .iter()
                .map(|&kernel| {
                    let mut packed = AlignedVec::zeroed(channels * kernel * kernel);
                    pack_depthwise(
                        &numbers(channels * kernel * kernel),
                        channels,
                        kernel,
                        &mut packed,
                    );
                    packed
                })
                .collect();
            let levels: Vec<FocalLevel<'_>> = kernels
                .iter()
                .zip(&packed)
                .map(|(&kernel, weights)| FocalLevel { kernel, weights })
                .collect();
            let problem = FocalContext {
                height: side,
                width: side,
                levels: &levels,
                scale: 0.2,
                input: Rows::planes(&input, pixels, channels, planes),
                gates: Rows::row_major(&gates, pixels, 5),
            };
            let mut out = AlignedVec::<f32>::zeroed(channels * planes);
            let mut global = vec![0.0; channels];
            let mut scratch = AlignedVec::zeroed(problem.scratch(&bench.cpu));
            let taps: usize = kernels.iter().map(|kernel| kernel * kernel).sum();
            let flops = 2.0 * (pixels * channels * taps) as f64;
            bench.time(
                &format!("focal {channels}@{side} {kernels:?}"),
                Work::Flops(flops, Format::F32),
                || {
                    let context = RowsMut::planes(&mut out, pixels, channels, planes);
                    problem.run(&bench.cpu, context.into(), &mut global, &mut scratch);
                },
            );
        }
    }
}
