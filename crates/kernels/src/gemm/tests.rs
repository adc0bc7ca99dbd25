//! The products against a plain one in f64, in every format and layout.

use half::bf16;

use super::*;
use crate::activation::Activation;
use crate::matrix::Matrix;
use crate::testing::{Random, assert_close, machines};

/// `A B` in f64, with the sum of magnitudes that bounds its rounding error.
fn product(a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) -> (Vec<f64>, f64) {
    let (mut out, mut magnitude) = (vec![0.0; m * n], 0f64);
    for (i, out) in out.iter_mut().enumerate() {
        let terms = (0..k).map(|j| f64::from(a[i / n * k + j]) * f64::from(b[j * n + i % n]));
        *out = terms.clone().sum();
        magnitude = magnitude.max(terms.map(f64::abs).sum());
    }
    (out, magnitude)
}

fn finished(mut x: f64, row: usize, column: usize, terms: &Terms, old: f64) -> f64 {
    let wide = |x: f32| f64::from(x);
    if terms.add {
        x += old;
    }
    let n = terms.bias.len();
    x += wide(terms.bias[column])
        + wide(terms.row_bias[row])
        + wide(terms.gates[row * 3]) * wide(terms.context[column]);
    x = x.max(0.0);
    x * wide(terms.multiply[row * n + column])
}

/// Everything an epilogue can hold.
struct Terms {
    add: bool,
    bias: Vec<f32>,
    row_bias: Vec<f32>,
    gates: Vec<f32>,
    context: Vec<f32>,
    multiply: Vec<f32>,
}

impl Terms {
    fn new(random: &mut Random, m: usize, n: usize, add: bool) -> Self {
        let mut vec = |len| random.vec(len);
        Self {
            add,
            bias: vec(n),
            row_bias: vec(m),
            gates: vec(3 * m),
            context: vec(n),
            multiply: vec(m * n),
        }
    }

    fn epilogue(&self, m: usize, n: usize) -> Epilogue<'_> {
        Epilogue {
            store: if self.add { Store::Add } else { Store::Replace },
            bias: Some(&self.bias),
            row_bias: Some(&self.row_bias),
            context: Some(Context { gates: &self.gates, gate_stride: 3, values: &self.context }),
            activation: Activation::Relu,
            multiply: Some(Rows::row_major(&self.multiply, m, n)),
        }
    }
}

const SHAPES: [[usize; 3]; 12] = [
    [1, 1, 1],
    [0, 3, 4],
    [3, 5, 0],
    [2, 0, 3],
    [14, 16, 32],
    [13, 17, 31],
    [15, 33, 33],
    [29, 7, 65],
    [113, 40, 96],
    [227, 70, 50],
    [5, 1100, 40],
    [118, 2051, 34],
];

#[test]
fn f32_products_agree_with_f64_in_every_layout() {
    let mut random = Random::new(1);
    for [m, k, n] in SHAPES {
        let (a, b) = (random.vec(m * k), random.vec(k * n));
        let (want, magnitude) = product(&a, &b, [m, k, n]);
        let bound = 4e-7 * magnitude + 1e-30;
        let turned: Vec<f32> = (0..n * k).map(|i| b[i % k * n + i / k]).collect();
        let planes = {
            let mut planes = vec![f32::NAN; k.div_ceil(16) * plane_rows(m) * 16];
            (0..m * k).for_each(|i| {
                planes[(i % k / 16 * plane_rows(m) + i / k) * 16 + i % k % 16] = a[i]
            });
            planes
        };
        for cpu in machines() {
            let what = format!("{m}x{k}x{n} on {cpu:?}");
            let mut panels = vec![f32::NAN; Panels::<f32>::len(k, n)];
            pack_f32(&cpu, Matrix::row_major(&b, k, n), &mut panels);
            let mut from_turned = vec![f32::NAN; panels.len()];
            pack_f32(&cpu, Matrix::row_major(&turned, n, k).transposed(), &mut from_turned);
            assert_eq!(panels, from_turned, "{what}");
            let panels = Panels::new(&panels, k, n);

            let mut out = vec![f32::NAN; m * n];
            let rows = Rows::row_major(&a, m, k);
            gemm_f32(
                &cpu,
                rows,
                panels,
                &Epilogue::default(),
                RowsMut::row_major(&mut out, m, n).into(),
            );
            assert_close(&out, &want, bound, &what);

            let mut in_planes = vec![f32::NAN; n.div_ceil(16) * (m + 2) * 16];
            let rows = Rows::planes(&planes, m, k, plane_rows(m));
            let output = RowsMut::planes(&mut in_planes, m, n, m + 2);
            gemm_f32(&cpu, rows, panels, &Epilogue::default(), output.into());
            let back: Vec<f32> = (0..m * n)
                .map(|i| in_planes[(i % n / 16 * (m + 2) + i / n) * 16 + i % n % 16])
                .collect();
            assert_eq!(out, back, "{what}: planes");
        }
    }
}

#[test]
fn every_part_of_the_epilogue_takes_part() {
    let mut random = Random::new(2);
    for [m, k, n] in SHAPES {
        for add in [false, true] {
            let (a, b) = (random.vec(m * k), random.vec(k * n));
            let terms = Terms::new(&mut random, m, n, add);
            let old = random.vec(m * n);
            let (plain, magnitude) = product(&a, &b, [m, k, n]);
            let want: Vec<f64> = (0..m * n)
                .map(|i| finished(plain[i], i / n, i % n, &terms, f64::from(old[i])))
                .collect();
            for cpu in machines() {
                let mut panels = vec![0.0; Panels::<f32>::len(k, n)];
                pack_f32(&cpu, Matrix::row_major(&b, k, n), &mut panels);
                let mut out = old.clone();
                let epilogue = terms.epilogue(m, n);
                let output = RowsMut::row_major(&mut out, m, n);
                gemm_f32(
                    &cpu,
                    Rows::row_major(&a, m, k),
                    Panels::new(&panels, k, n),
                    &epilogue,
                    output.into(),
                );
                assert_close(
                    &out,
                    &want,
                    4e-7 * (magnitude + 4.0),
                    format!("{m}x{k}x{n}, add {add} on {cpu:?}"),
                );
            }
        }
    }
}

#[test]
fn parts_of_the_columns_and_of_the_depth_add_up() {
    let mut random = Random::new(3);
    let [m, k, n] = [20, 75, 100];
    let (a, b) = (random.vec(m * k), random.vec(k * n));
    let (want, magnitude) = product(&a, &b, [m, k, n]);
    for cpu in machines() {
        let mut panels = vec![0.0; Panels::<f32>::len(k, n)];
        pack_f32(&cpu, Matrix::row_major(&b, k, n), &mut panels);
        let (rows, panels) = (Rows::row_major(&a, m, k), Panels::new(&panels, k, n));
        let mut out = vec![f32::NAN; m * n];
        for columns in [0..32, 32..100] {
            for (depth, store) in [(0..48, Store::Replace), (48..75, Store::Add)] {
                let part = panels.slice_columns(columns.clone()).slice_depth(depth.clone());
                let a = Rows::pitched(&a[depth.start..], m, depth.len(), k);
                let output = RowsMut::pitched(&mut out[columns.start..], m, columns.len(), n);
                let epilogue = Epilogue { store, ..Default::default() };
                gemm_f32(&cpu, a, part, &epilogue, output.into());
            }
        }
        assert_close(&out, &want, 4e-7 * magnitude, format!("{cpu:?}"));
        let mut last = vec![f32::NAN; 3 * n];
        let output = RowsMut::row_major(&mut last, 3, n);
        gemm_f32(&cpu, rows.slice_rows(17..20), panels, &Epilogue::default(), output.into());
        assert_close(&last, &want[17 * n..], 4e-7 * magnitude, format!("the last rows on {cpu:?}"));
    }
}

#[test]
fn bf16_products_agree_with_f64_on_the_rounded_values() {
    let mut random = Random::new(4);
    for [m, k, n] in SHAPES {
        let even = k.next_multiple_of(2);
        let round = |values: Vec<f32>| {
            values.into_iter().map(|x| bf16::from_f32(x).to_f32()).collect::<Vec<_>>()
        };
        let (a, b) = (round(random.vec(m * k)), round(random.vec(k * n)));
        let (want, magnitude) = product(&a, &b, [m, k, n]);
        for cpu in machines() {
            let what = format!("{m}x{k}x{n} on {cpu:?}");
            let mut panels = vec![bf16::NAN; Panels::<bf16>::len(k, n)];
            pack_bf16(&cpu, Matrix::row_major(&b, k, n), &mut panels);
            let panels = Panels::new(&panels, k, n);

            let mut rows = vec![bf16::NAN; m * even];
            narrow_rows(&cpu, Rows::row_major(&a, m, k), RowsMut::row_major(&mut rows, m, even));
            let mut out = vec![f32::NAN; m * n];
            let rows = Rows::row_major(&rows, m, even);
            gemm_bf16(
                &cpu,
                rows,
                panels,
                &Epilogue::default(),
                RowsMut::row_major(&mut out, m, n).into(),
            );
            assert_close(&out, &want, 1e-6 * magnitude + 1e-30, &what);

            // The same, from planes and to bfloat16 planes.
            let mut planes = vec![bf16::NAN; even.div_ceil(32) * (m + 1) * 32];
            narrow_rows(
                &cpu,
                Rows::row_major(&a, m, k),
                RowsMut::planes(&mut planes, m, even, m + 1),
            );
            let mut narrow = vec![bf16::NAN; n.div_ceil(32) * (m + 5) * 32];
            let output = RowsMut::planes(&mut narrow, m, n, m + 5);
            gemm_bf16(
                &cpu,
                Rows::planes(&planes, m, even, m + 1),
                panels,
                &Epilogue::default(),
                output.into(),
            );
            for (i, &wide) in out.iter().enumerate() {
                let got = narrow[(i % n / 32 * (m + 5) + i / n) * 32 + i % n % 32];
                assert_eq!(got, bf16::from_f32(wide), "{what}: element {i}");
            }
        }
    }
}

#[test]
fn int8_products_are_exact_up_to_the_scales() {
    let mut random = Random::new(5);
    for [m, k, n] in SHAPES {
        let padded = k.next_multiple_of(4);
        let (a, b) = (random.vec(m * k), random.vec(k * n));
        for cpu in machines() {
            let what = format!("{m}x{k}x{n} on {cpu:?}");
            let mut bytes = vec![0u8; m * padded];
            let mut row_scales = vec![f32::NAN; m];
            quantize_rows(
                &cpu,
                Rows::row_major(&a, m, k),
                RowsMut::row_major(&mut bytes, m, padded),
                &mut row_scales,
            );
            let mut panels = vec![99i8; Panels::<i8>::len(k, n)];
            let (mut scales, mut offsets) = (vec![f32::NAN; n], vec![7; n.next_multiple_of(32)]);
            pack_int8(&cpu, Matrix::row_major(&b, k, n), &mut panels, &mut scales, &mut offsets);

            let at = |row: usize, depth: usize| f64::from(bytes[row * padded + depth]) - 128.0;
            let weight = |depth: usize, column: usize| {
                f64::from(
                    panels[(column / 32 * padded / 4 + depth / 4) * 128
                        + column % 32 * 4
                        + depth % 4],
                )
            };
            for (i, &x) in a.iter().enumerate() {
                let got = at(i / k, i % k) * f64::from(row_scales[i / k]);
                assert!(
                    (got - f64::from(x)).abs() <= 0.5001 * f64::from(row_scales[i / k]),
                    "{what}: row value {i}"
                );
            }
            for (i, &x) in b.iter().enumerate() {
                let got = weight(i / n, i % n) * f64::from(scales[i % n]);
                assert!(
                    (got - f64::from(x)).abs() <= 0.5001 * f64::from(scales[i % n]),
                    "{what}: weight {i}"
                );
            }
            let mut greatest = 0f64;
            let want: Vec<f64> = (0..m * n)
                .map(|i| {
                    let sum: f64 = (0..k).map(|d| at(i / n, d) * weight(d, i % n)).sum();
                    let value = sum * f64::from(row_scales[i / n]) * f64::from(scales[i % n]);
                    greatest = greatest.max(value.abs());
                    value
                })
                .collect();
            let rows = QuantizedRows::new(Rows::row_major(&bytes, m, padded), &row_scales);
            let weights = QuantizedPanels::new(Panels::new(&panels, k, n), &scales, &offsets);
            let mut out = vec![f32::NAN; m * n];
            gemm_int8(
                &cpu,
                rows,
                weights,
                &Epilogue::default(),
                RowsMut::row_major(&mut out, m, n).into(),
            );
            assert_close(&out, &want, 3e-7 * greatest + 1e-30, &what);
        }
    }
}

#[test]
fn the_bytes_do_not_depend_on_the_threads_or_the_split_of_rows() {
    let mut random = Random::new(6);
    let [m, k, n] = [300, 130, 200];
    let (a, b) = (random.vec(m * k), random.vec(k * n));
    for pair in machines().chunks(2) {
        let mut panels = vec![0.0; Panels::<f32>::len(k, n)];
        pack_f32(&pair[0], Matrix::row_major(&b, k, n), &mut panels);
        let (rows, panels) = (Rows::row_major(&a, m, k), Panels::new(&panels, k, n));
        let run = |cpu: &Cpu, rows: Rows<'_, f32>| {
            let mut out = vec![0.0; rows.rows() * n];
            let output = RowsMut::row_major(&mut out, rows.rows(), n);
            gemm_f32(cpu, rows, panels, &Epilogue::default(), output.into());
            out
        };
        let whole = run(&pair[0], rows);
        assert_eq!(whole, run(&pair[1], rows));
        let parts: Vec<f32> = [0..1, 1..7, 7..150, 150..300]
            .into_iter()
            .flat_map(|part| run(&pair[0], rows.slice_rows(part)))
            .collect();
        assert_eq!(whole, parts);
    }
}

#[test]
#[should_panic(expected = "the rows must be as long as the panels are deep")]
fn a_wrong_depth_is_named() {
    let mut out = [0.0; 4];
    let rows = Rows::row_major(&[0.0; 6], 2, 3);
    let panels = [0.0; 128];
    let output = RowsMut::row_major(&mut out, 2, 2).into();
    gemm_f32(&machines()[0], rows, Panels::new(&panels, 4, 2), &Epilogue::default(), output);
}

#[test]
#[should_panic(expected = "does not fit in 5 values")]
fn a_short_operand_is_named() {
    Rows::row_major(&[0.0; 5], 2, 3);
}
