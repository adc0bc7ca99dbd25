//! Functions of each value and norms of rows, on a buffer that stays in the cache and on one that does not.

use medparse_kernels::gemm::{Rows, RowsMut};
use medparse_kernels::norm::{GroupNorm, LayerNorm, LayerNormGradients};
use medparse_kernels::{Activation, AlignedVec};

use crate::{Bench, Work, numbers};

pub fn run(bench: &Bench) {
    if bench.wants("activation") {
        for (name, len, repeats) in [("4096", 4096, 200), ("65536x192", 65536 * 192, 1)] {
            let x = AlignedVec::from_slice(&numbers(len));
            let mut y = AlignedVec::<f32>::zeroed(len);
            for activation in [Activation::Relu, Activation::Gelu, Activation::QuickGelu] {
                let bytes = 8.0 * (len * repeats) as f64;
                bench.time(
                    &format!("activation {activation:?} {name}"),
                    Work::Bytes(bytes),
                    || {
                        (0..repeats).for_each(|_| activation.forward(&bench.cpu, &x, &mut y));
                    },
                );
                bench.time(
                    &format!("activation {activation:?} backward {name}"),
                    Work::Bytes(1.5 * bytes),
                    || {
                        (0..repeats).for_each(|_| activation.backward(&bench.cpu, &x, &x, &mut y));
                    },
                );
            }
        }
    }
    norms(bench);
}

fn norms(bench: &Bench) {
    for (rows, columns) in [(65536, 192), (4096, 768), (112, 768)] {
        if !bench.wants("layernorm") {
            break;
        }
        let (x, parameters) = (AlignedVec::from_slice(&numbers(rows * columns)), numbers(columns));
        let norm = LayerNorm { weight: &parameters, bias: &parameters, epsilon: 1e-5 };
        let (mut y, mut saved) = (AlignedVec::<f32>::zeroed(rows * columns), vec![0.0; rows * 2]);
        let bytes = 4.0 * (rows * columns) as f64;
        let name = format!("layernorm {rows}x{columns}");
        bench.time(&format!("{name} forward"), Work::Bytes(2.0 * bytes), || {
            let (x, y) =
                (Rows::row_major(&x, rows, columns), RowsMut::row_major(&mut y, rows, columns));
            norm.forward(&bench.cpu, x, y.into());
        });
        bench.time(&format!("{name} add scaled"), Work::Bytes(3.0 * bytes), || {
            let (x, y) =
                (Rows::row_major(&x, rows, columns), RowsMut::row_major(&mut y, rows, columns));
            norm.add_scaled(&bench.cpu, x, &parameters, y);
        });
        bench.time(&format!("{name} forward, saving"), Work::Bytes(2.0 * bytes), || {
            norm.forward_saving(&bench.cpu, &x, &mut y, &mut saved);
        });
        let (mut dweight, mut dbias) = (vec![0.0; columns], vec![0.0; columns]);
        let mut scratch = vec![0.0; norm.backward_scratch()];
        bench.time(&format!("{name} backward"), Work::Bytes(3.0 * bytes), || {
            let gradients =
                LayerNormGradients { dx: &mut y, dweight: &mut dweight, dbias: &mut dbias };
            norm.backward(&bench.cpu, [&x, &x], &saved, gradients, &mut scratch);
        });
    }
    if bench.wants("groupnorm") {
        let (pixels, channels) = (65536, 512);
        let parameters = numbers(channels);
        let norm = GroupNorm { groups: 32, weight: &parameters, bias: &parameters, epsilon: 1e-5 };
        let mut x = AlignedVec::from_slice(&numbers(pixels * channels));
        let mut scratch = vec![0.0; norm.rows_scratch(pixels)];
        let bytes = 4.0 * (pixels * channels) as f64;
        bench.time("groupnorm 65536x512 in place", Work::Bytes(3.0 * bytes), || {
            let rows = RowsMut::row_major(&mut x, pixels, channels);
            norm.forward_rows(&bench.cpu, rows, Activation::Relu, &mut scratch);
        });
    }
}
