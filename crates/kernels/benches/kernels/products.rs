//! Matrix products of the shapes of the four FocalNet stages: `tokens x depth x columns`.

use half::bf16;
use medparse_kernels::gemm::*;
use medparse_kernels::peak::Format;
use medparse_kernels::{Activation, AlignedVec, Cpu, Matrix};

use crate::{Bench, Work, numbers};

const SHAPES: [[usize; 3]; 6] = [
    [65536, 192, 768],
    [16384, 384, 1536],
    [4096, 768, 3072],
    [4096, 3072, 768],
    [1024, 1536, 6144],
    [112, 768, 3072],
];

pub fn run(bench: &Bench) {
    for shape in SHAPES {
        let name = format!("{}x{}x{}", shape[0], shape[1], shape[2]);
        let flops = 2.0 * shape.iter().product::<usize>() as f64;
        if bench.wants("gemm-f32") {
            f32_product(bench, &format!("gemm-f32 {name}"), shape, flops);
        }
        if bench.wants("gemm-bf16") {
            bf16_product(bench, &format!("gemm-bf16 {name}"), shape, flops);
        }
        if bench.wants("gemm-int8") {
            int8_product(bench, &format!("gemm-int8 {name}"), shape, flops);
        }
    }
}

fn f32_product(bench: &Bench, name: &str, [m, k, n]: [usize; 3], flops: f64) {
    let cpu = &bench.cpu;
    let (rows, weights, bias) =
        (AlignedVec::from_slice(&numbers(m * k)), numbers(k * n), numbers(n));
    let mut panels = AlignedVec::zeroed(Panels::<f32>::len(k, n));
    pack_f32(cpu, Matrix::row_major(&weights, k, n), &mut panels);
    let (rows, panels) = (Rows::row_major(&rows, m, k), Panels::new(&panels, k, n));
    let mut out = AlignedVec::<f32>::zeroed(m * n);
    for (label, activation) in [("bias", Activation::Identity), ("bias, GELU", Activation::Gelu)] {
        let epilogue = Epilogue { bias: Some(&bias), activation, ..Default::default() };
        bench.time(&format!("{name} {label}"), Work::Flops(flops, Format::F32), || {
            gemm_f32(cpu, rows, panels, &epilogue, RowsMut::row_major(&mut out, m, n).into());
        });
    }
}

fn bf16_product(bench: &Bench, name: &str, [m, k, n]: [usize; 3], flops: f64) {
    let cpu = &bench.cpu;
    let (values, weights, bias) = (numbers(m * k), numbers(k * n), numbers(n));
    let mut panels = AlignedVec::zeroed(Panels::<bf16>::len(k, n));
    pack_bf16(cpu, Matrix::row_major(&weights, k, n), &mut panels);
    let mut rows = AlignedVec::zeroed(m * k);
    narrow_rows(cpu, Rows::row_major(&values, m, k), RowsMut::row_major(&mut rows, m, k));
    let (rows, panels) = (Rows::row_major(&rows, m, k), Panels::new(&panels, k, n));
    let mut out = AlignedVec::<bf16>::zeroed(m * n);
    for (label, activation) in [("bias", Activation::Identity), ("bias, GELU", Activation::Gelu)] {
        let epilogue = Epilogue { bias: Some(&bias), activation, ..Default::default() };
        bench.time(&format!("{name} {label}"), Work::Flops(flops, Format::Bf16), || {
            gemm_bf16(cpu, rows, panels, &epilogue, RowsMut::row_major(&mut out, m, n).into());
        });
    }
}

fn int8_product(bench: &Bench, name: &str, [m, k, n]: [usize; 3], flops: f64) {
    let cpu: &Cpu = &bench.cpu;
    let (values, weights, bias) = (numbers(m * k), numbers(k * n), numbers(n));
    let mut panels = AlignedVec::zeroed(Panels::<i8>::len(k, n));
    let (mut scales, mut offsets) = (vec![0.0; n], vec![0; n.next_multiple_of(32)]);
    pack_int8(cpu, Matrix::row_major(&weights, k, n), &mut panels, &mut scales, &mut offsets);
    let (mut bytes, mut row_scales) = (AlignedVec::zeroed(m * k), vec![0.0; m]);
    quantize_rows(
        cpu,
        Rows::row_major(&values, m, k),
        RowsMut::row_major(&mut bytes, m, k),
        &mut row_scales,
    );
    let rows = QuantizedRows::new(Rows::row_major(&bytes, m, k), &row_scales);
    let panels = QuantizedPanels::new(Panels::new(&panels, k, n), &scales, &offsets);
    let mut out = AlignedVec::<bf16>::zeroed(m * n);
    for (label, activation) in [("bias", Activation::Identity), ("bias, GELU", Activation::Gelu)] {
        let epilogue = Epilogue { bias: Some(&bias), activation, ..Default::default() };
        bench.time(&format!("{name} {label}"), Work::Flops(flops, Format::Int8), || {
            gemm_int8(cpu, rows, panels, &epilogue, RowsMut::row_major(&mut out, m, n).into());
        });
    }
}
