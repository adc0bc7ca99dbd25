//! Every operation on its kernels against its definition: burn's own expression in f64, whose
//! gradients are differences.

use burn::module::{Param, ParamId};
use burn::nn::{GroupNorm, GroupNormConfig, LayerNorm, LayerNormConfig};
use burn::tensor::{Bool, DType, Device, Tensor, TensorData};

use super::*;

/// Numbers in -1..1 that follow from a seed.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Inputs of an operation, each with its values one after the other.
type Inputs = [Tensor<1>];

/// Checks an operation of inputs with so many values each: its result, and a sample of the
/// gradients of `sum of result * weights` for some weights.
fn check(name: &str, counts: &[usize], operation: impl Fn(&Inputs) -> Tensor<1>) {
    const PLACES: usize = 24;
    const STEP: f64 = 1e-4;
    let device = Device::flex();
    let values: Vec<Vec<f32>> =
        counts.iter().zip(1..).map(|(&count, seed)| numbers(seed, count)).collect();
    let exact = |values: &[Vec<f64>]| -> Vec<f64> {
        let inputs: Vec<Tensor<1>> = values
            .iter()
            .map(|values| {
                let data = TensorData::new(values.clone(), [values.len()]);
                Tensor::from_data(data, (&device, DType::F64))
            })
            .collect();
        assert!(!kernels::serves(&inputs[0]), "the definition must not run on the kernels");
        operation(&inputs).into_data().iter::<f64>().collect()
    };
    let wide: Vec<Vec<f64>> =
        values.iter().map(|values| values.iter().map(|&x| f64::from(x)).collect()).collect();
    let want = exact(&wide);
    let slopes = numbers(99, want.len());

    let tracked = Device::flex().autodiff();
    let inputs: Vec<Tensor<1>> = values
        .iter()
        .map(|values| {
            let data = TensorData::new(values.clone(), [values.len()]);
            Tensor::from_data(data, &tracked).require_grad()
        })
        .collect();
    assert!(kernels::serves(&inputs[0]), "{name} must run on the kernels");
    let result = operation(&inputs);
    let got: Vec<f32> = result.clone().into_data().iter().collect();
    assert_eq!(got.len(), want.len(), "{name}");
    for (i, (&got, want)) in got.iter().zip(&want).enumerate() {
        let close = (f64::from(got) - want).abs() <= 1e-5 * (1.0 + want.abs());
        assert!(close, "{name}: value {i} is {got}, expected {want}");
    }
    let weights = Tensor::<1>::from_data(TensorData::new(slopes.clone(), [want.len()]), &tracked);
    let gradients = (result * weights).sum().backward();

    for (input, tensor) in inputs.iter().enumerate() {
        let gradient = tensor.grad(&gradients).expect("every input has a gradient");
        let gradient: Vec<f32> = gradient.into_data().iter().collect();
        assert_eq!(gradient.len(), counts[input], "{name}: the gradient of input {input}");
        let places = numbers(7 + input as u64, PLACES.min(counts[input]));
        for place in places {
            let at = ((place.abs() * counts[input] as f32) as usize).min(counts[input] - 1);
            let objective = |step: f64| {
                let mut moved = wide.clone();
                moved[input][at] += step;
                let values = exact(&moved);
                values.iter().zip(&slopes).map(|(y, &w)| y * f64::from(w)).sum::<f64>()
            };
            let slope = (objective(STEP) - objective(-STEP)) / (2.0 * STEP);
            let got = f64::from(gradient[at]);
            let close = (got - slope).abs() <= 1e-4 * (1.0 + slope.abs());
            assert!(close, "{name}: the slope of input {input} at {at} is {got}, expected {slope}");
        }
    }
}

fn flat<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let count = x.shape().num_elements();
    x.reshape([count])
}

#[test]
fn activations() {
    check("GELU", &[77], |x| gelu(x[0].clone() * 4.0));
    check("QuickGELU", &[77], |x| quick_gelu(x[0].clone() * 4.0));
    check("ReLU", &[77], |x| relu(x[0].clone()));
}

#[test]
fn linear_maps_with_and_without_bias_of_any_layout() {
    check("linear", &[6 * 17, 17 * 5, 5], |x| {
        let (rows, weight) = (x[0].clone().reshape([2, 3, 17]), x[1].clone().reshape([17, 5]));
        flat(linear_of(rows, weight, Some(x[2].clone())))
    });
    check("turned linear", &[6 * 17, 17 * 5], |x| {
        let (rows, weight) = (x[0].clone().reshape([17, 6]), x[1].clone().reshape([5, 17]));
        flat(linear_of(rows.transpose(), weight.transpose(), None))
    });
    check("part of a stacked weight", &[4 * 8, 24 * 8, 24], |x| {
        let weight = x[1].clone().reshape([24, 8]).narrow(0, 8, 8).transpose();
        let bias = x[2].clone().narrow(0, 8, 8);
        flat(linear_of(x[0].clone().reshape([4, 8]), weight, Some(bias)))
    });
}

fn layer(weight: &Tensor<1>, bias: &Tensor<1>) -> LayerNorm {
    let mut norm = LayerNormConfig::new(weight.dims()[0]).init(&weight.device());
    norm.gamma = Param::initialized(ParamId::new(), weight.clone());
    norm.beta = Some(Param::initialized(ParamId::new(), bias.clone()));
    norm
}

#[test]
fn norms() {
    check("LayerNorm", &[6 * 40, 40, 40], |x| {
        flat(layer_norm(&layer(&x[1], &x[2]), x[0].clone().reshape([2, 3, 40])))
    });
    check("added LayerNorm", &[6 * 40, 6 * 40, 40, 40, 40], |x| {
        let [sum, branch] = [0, 1].map(|i: usize| x[i].clone().reshape([2, 3, 40]));
        flat(add_layer_norm(&layer(&x[2], &x[3]), sum, branch, x[4].clone()))
    });
    check("GroupNorm", &[2 * 6 * 35, 6, 6], |x| {
        let mut norm: GroupNorm = GroupNormConfig::new(3, 6).init(&x[0].device());
        norm.gamma = Some(Param::initialized(ParamId::new(), x[1].clone()));
        norm.beta = Some(Param::initialized(ParamId::new(), x[2].clone()));
        flat(group_norm(&norm, x[0].clone().reshape([2, 6, 5, 7])))
    });
}

#[test]
fn convolutions_with_and_without_bias() {
    check("3x3", &[2 * 3 * 35, 4 * 3 * 9, 4], |x| {
        let (map, weight) =
            (x[0].clone().reshape([2, 3, 5, 7]), x[1].clone().reshape([4, 3, 3, 3]));
        let window = Window::same(&weight);
        flat(convolution(map, weight, Some(x[2].clone()), window))
    });
    check("strided 7x7", &[3 * 16 * 20, 2 * 3 * 49], |x| {
        let (map, weight) =
            (x[0].clone().reshape([1, 3, 16, 20]), x[1].clone().reshape([2, 3, 7, 7]));
        flat(convolution(map, weight, None, Window { stride: 4, padding: 2 }))
    });
}

#[test]
fn attention_with_and_without_a_mask() {
    let counts = [2 * 5 * 12, 2 * 7 * 12, 2 * 7 * 12];
    let tokens = |x: &Tensor<1>, count: usize| x.clone().reshape([2, count, 12]);
    check("attention", &counts, |x| {
        let heads = Heads { count: 3, blocked: None };
        flat(attention(tokens(&x[0], 5), tokens(&x[1], 7), tokens(&x[2], 7), heads))
    });
    for rows in [1, 5] {
        check("masked attention", &counts, |x| {
            let blocked: Vec<bool> = (0..rows * 7).map(|i| i % 3 == 1).collect();
            let blocked = TensorData::new(blocked, [1, rows, 7]);
            let blocked = Tensor::<3, Bool>::from_data(blocked, &x[0].device());
            let heads = Heads { count: 3, blocked: Some(blocked) };
            flat(attention(tokens(&x[0], 5), tokens(&x[1], 7), tokens(&x[2], 7), heads))
        });
    }
}

#[test]
fn focal_modulation() {
    let (channels, kernels) = (5, [3, 5]);
    let across = 2 * channels + kernels.len() + 1;
    let taps = kernels.map(|kernel| channels * kernel * kernel);
    let counts = [2 * 24 * across, taps[0], taps[1], channels * channels, channels];
    check("focal modulation", &counts, |x| {
        let filter = |level: usize| {
            x[1 + level].clone().reshape([channels, 1, kernels[level], kernels[level]])
        };
        let by = Modulation {
            filters: vec![filter(0), filter(1)],
            weight: x[3].clone().reshape([channels, channels, 1, 1]),
            bias: Some(x[4].clone()),
        };
        flat(modulate(x[0].clone().reshape([2, 4, 6, across]), by))
    });
}

#[test]
fn sizes_change() {
    for (name, to) in [("larger", [8, 11]), ("smaller", [3, 2])] {
        let map = |x: &Inputs| x[0].clone().reshape([1, 2, 4, 5]);
        check(&format!("nearest, {name}"), &[40], |x| flat(nearest(map(x), to)));
        check(&format!("bilinear, {name}"), &[40], |x| flat(bilinear(map(x), to)));
    }
}
