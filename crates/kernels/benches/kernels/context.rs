//! The focal context of the four stages, `channels @ side`, its parts, and depthwise convolution in training.

use medparse_kernels::AlignedVec;
use medparse_kernels::depthwise::{Depthwise, FocalContext, FocalLevel, pack_depthwise};
use medparse_kernels::gemm::{Rows, RowsMut, plane_rows};
use medparse_kernels::peak::Format;

use crate::{Bench, Work, numbers};

const ALL: &[usize] = &[3, 5, 7, 9];

pub fn run(bench: &Bench) {
    if bench.wants("depthwise") {
        images(bench);
    }
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

fn images(bench: &Bench) {
    for kernel in [3, 5, 7, 9] {
        let shape = Depthwise { batch: 4, channels: 64, height: 64, width: 64, kernel };
        let len = 4 * 64 * 64 * 64;
        let (x, weights) = (AlignedVec::from_slice(&numbers(len)), numbers(64 * kernel * kernel));
        let (mut y, mut dweights) = (AlignedVec::<f32>::zeroed(len), vec![0.0; weights.len()]);
        let mut scratch = vec![0.0; shape.scratch(&bench.cpu)];
        let flops = 2.0 * (len * kernel * kernel) as f64;
        bench.time(
            &format!("depthwise 4x64@64 k{kernel} forward"),
            Work::Flops(flops, Format::F32),
            || {
                shape.forward(&bench.cpu, &x, &weights, &mut y, &mut scratch);
            },
        );
        bench.time(
            &format!("depthwise 4x64@64 k{kernel} gradient of weights"),
            Work::Flops(flops, Format::F32),
            || {
                shape.backward_weights(&bench.cpu, &x, &x, &mut dweights, &mut scratch);
            },
        );
    }
}
