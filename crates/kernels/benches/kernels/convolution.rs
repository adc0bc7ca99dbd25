//! Convolutions in training, `batch x in -> out @ side`, and of inference.

use medparse_kernels::conv::{Conv, Winograd, WinogradWeights};
use medparse_kernels::gemm::{Panels, Rows, RowsMut, Weights, pack_f32};
use medparse_kernels::peak::Format;
use medparse_kernels::{Activation, AlignedVec, Matrix};

use crate::{Bench, Work, numbers};

pub fn run(bench: &Bench) {
    if bench.wants("conv") {
        training(bench);
        embeddings(bench);
    }
    if bench.wants("winograd") {
        winograd(bench);
    }
}

fn training(bench: &Bench) {
    let cpu = &bench.cpu;
    let shapes = [
        (2, 128, 128, 64, 3, 1, 1),
        (2, 128, 256, 64, 1, 1, 0),
        (2, 96, 192, 64, 3, 2, 1),
        (2, 3, 96, 256, 7, 4, 2),
    ];
    for (batch, in_channels, out_channels, side, kernel, stride, padding) in shapes {
        let conv = Conv {
            batch,
            in_channels,
            out_channels,
            height: side,
            width: side,
            kernel,
            stride,
            padding,
        };
        let [out_height, out_width] = conv.output_size();
        let taps = in_channels * kernel * kernel;
        let x = AlignedVec::from_slice(&numbers(batch * in_channels * side * side));
        let weights = numbers(out_channels * taps);
        let mut y = AlignedVec::from_slice(&numbers(batch * out_channels * out_height * out_width));
        let flops = 2.0 * (y.len() * taps) as f64;
        let name = format!("conv {batch}x{in_channels}->{out_channels}@{side} k{kernel} s{stride}");
        let (mut dx, mut dw) = (AlignedVec::<f32>::zeroed(x.len()), vec![0.0; weights.len()]);
        let mut scratch = AlignedVec::<f32>::zeroed(conv.forward_scratch(cpu));
        bench.time(&format!("{name} forward"), Work::Flops(flops, Format::F32), || {
            conv.forward(cpu, &x, (&weights, None), &mut y, &mut scratch);
        });
        let mut scratch = AlignedVec::<f32>::zeroed(conv.backward_input_scratch(cpu));
        bench.time(&format!("{name} gradient of input"), Work::Flops(flops, Format::F32), || {
            conv.backward_input(cpu, &y, &weights, &mut dx, &mut scratch);
        });
        let mut scratch = AlignedVec::<f32>::zeroed(conv.backward_weights_scratch(cpu));
        bench.time(&format!("{name} gradient of weights"), Work::Flops(flops, Format::F32), || {
            conv.backward_weights(cpu, &x, &y, &mut dw, &mut scratch);
        });
    }
}

/// The patch embeddings of the largest FocalNet.
fn embeddings(bench: &Bench) {
    let cpu = &bench.cpu;
    for (in_channels, out_channels, side, kernel, stride, padding) in
        [(3, 192, 1024, 7, 4, 2), (192, 384, 256, 3, 2, 1), (768, 1536, 64, 3, 2, 1)]
    {
        let (batch, height, width) = (1, side, side);
        let conv =
            Conv { batch, in_channels, out_channels, height, width, kernel, stride, padding };
        let [out_height, out_width] = conv.output_size();
        let (pixels, depth) = (out_height * out_width, kernel * kernel * in_channels);
        let x = AlignedVec::from_slice(&numbers(side * side * in_channels));
        let weights = numbers(depth * out_channels);
        let mut panels = AlignedVec::zeroed(Panels::<f32>::len(depth, out_channels));
        pack_f32(cpu, Matrix::row_major(&weights, depth, out_channels), &mut panels);
        let weights = Weights::F32(Panels::new(&panels, depth, out_channels));
        let mut y = AlignedVec::<f32>::zeroed(pixels * out_channels);
        let mut scratch = AlignedVec::<f32>::zeroed(conv.pixels_scratch(cpu, &weights));
        let flops = 2.0 * (pixels * depth * out_channels) as f64;
        let name =
            format!("conv of pixels {in_channels}->{out_channels}@{side} k{kernel} s{stride}");
        bench.time(&name, Work::Flops(flops, Format::F32), || {
            let x = Rows::row_major(&x, side * side, in_channels);
            let y = RowsMut::row_major(&mut y, pixels, out_channels);
            conv.forward_pixels(cpu, x, (&weights, None), y, &mut scratch);
        });
    }
}

/// The operations counted are those of the plain convolution, of which Winograd's needs a quarter.
fn winograd(bench: &Bench) {
    let cpu = &bench.cpu;
    for (channels, side) in [(512, 256), (512, 64), (256, 64)] {
        let conv = Winograd {
            batch: 1,
            height: side,
            width: side,
            in_channels: channels,
            out_channels: channels,
        };
        let pixels = side * side;
        let x = AlignedVec::from_slice(&numbers(pixels * channels));
        let mut packed = AlignedVec::<f32>::zeroed(conv.packed_len::<f32>());
        conv.pack(cpu, &numbers(channels * channels * 9), &mut packed);
        let weights =
            WinogradWeights { packed: &packed, bias: None, activation: Activation::Identity };
        let mut y = AlignedVec::<f32>::zeroed(pixels * channels);
        let mut scratch = AlignedVec::<f32>::zeroed(conv.scratch::<f32>(cpu));
        let flops = 2.0 * (9 * pixels * channels * channels) as f64;
        bench.time(&format!("winograd {channels}@{side}"), Work::Flops(flops, Format::F32), || {
            let x = Rows::row_major(&x, pixels, channels);
            let y = RowsMut::row_major(&mut y, pixels, channels);
            conv.forward(cpu, x, &weights, y, &mut scratch);
        });
    }
}
