//! Attention of the decoder: 101 queries over the pixels of a level, and over themselves with the words of a prompt.

use medparse_kernels::AlignedVec;
use medparse_kernels::attention::{
    Attention, AttentionGradients, AttentionOutput, AttentionSaved, KeyValues, KeyValuesMut,
};
use medparse_kernels::peak::Format;

use crate::{Bench, Work, numbers};

pub fn run(bench: &Bench) {
    if !bench.wants("attention") {
        return;
    }
    let cpu = &bench.cpu;
    for (queries, keys) in [(101, 16384), (101, 1024), (130, 130), (1024, 1024)] {
        let shape = Attention { batch: 1, heads: 8, queries, keys, head_dim: 64, scale: 0.125 };
        let [q, k, v] =
            [queries, keys, keys].map(|tokens| AlignedVec::from_slice(&numbers(tokens * 512)));
        let blocked: Vec<bool> = numbers(queries * keys).iter().map(|x| *x < 0.0).collect();
        let mut out = AlignedVec::<f32>::zeroed(q.len());
        let mut logsumexp = vec![0.0; 8 * queries];
        let flops = 4.0 * (queries * keys * 512) as f64;
        let work = || Work::Flops(flops, Format::F32);
        let name = format!("attention {queries}x{keys}");

        let (mut keys_packed, mut values_packed) = (
            AlignedVec::<f32>::zeroed(shape.packed_keys::<f32>()),
            AlignedVec::<f32>::zeroed(shape.packed_values::<f32>()),
        );
        shape.pack(
            cpu,
            [&k, &v],
            KeyValuesMut { keys: &mut keys_packed, values: &mut values_packed },
        );
        let packed = KeyValues { keys: &keys_packed, values: &values_packed };
        let mut scratch = AlignedVec::<f32>::zeroed(shape.packed_scratch::<f32>(cpu));
        for (label, blocked) in [("packed", None), ("packed, masked", Some(&blocked[..]))] {
            bench.time(&format!("{name} {label}"), work(), || {
                let output = AttentionOutput { out: &mut out, logsumexp: None };
                shape.forward_packed(cpu, &q, (packed, blocked), output, &mut scratch);
            });
        }
        let mut scratch = AlignedVec::<f32>::zeroed(shape.forward_scratch(cpu));
        bench.time(&format!("{name} forward"), work(), || {
            let output = AttentionOutput { out: &mut out, logsumexp: Some(&mut logsumexp) };
            shape.forward(cpu, [&q, &k, &v], Some(&blocked), output, &mut scratch);
        });
        let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
        let mut scratch = AlignedVec::<f32>::zeroed(shape.backward_scratch(cpu));
        let saved = AttentionSaved {
            q: &q,
            k: &k,
            v: &v,
            blocked: Some(&blocked),
            out: &out,
            logsumexp: &logsumexp,
        };
        bench.time(&format!("{name} backward"), Work::Flops(2.5 * flops, Format::F32), || {
            let gradients = AttentionGradients { dq: &mut dq, dk: &mut dk, dv: &mut dv };
            shape.backward(cpu, &saved, &q, gradients, &mut scratch);
        });
    }
}
