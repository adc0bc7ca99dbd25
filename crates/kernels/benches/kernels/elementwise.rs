//! Functions of each value and norms of rows, on a buffer that stays in the cache and on one that does not.

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
}
