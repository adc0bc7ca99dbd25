//! The steps of a softmax of a row whose entries may be blocked.

use crate::simd::{LANES, Simd, math};

/// Sets blocked entries to minus infinity and answers the greatest entry.
#[inline(always)]
pub(super) fn block_and_find_greatest<S: Simd>(
    s: S,
    row: &mut [f32],
    blocked: Option<&[bool]>,
) -> f32 {
    let none = s.splat(f32::NEG_INFINITY);
    let mut greatest = [none; 2];
    let (pairs, rest) = row.as_chunks_mut::<{ 2 * LANES }>();
    if let Some(blocked) = blocked {
        let blocked: &[u8] = bytemuck::cast_slice(blocked);
        let (blocked_pairs, blocked_rest) = blocked.as_chunks::<{ 2 * LANES }>();
        for (pair, blocked) in pairs.iter_mut().zip(blocked_pairs) {
            let blocked = blocked.as_chunks::<LANES>().0;
            for ((lanes, blocked), greatest) in
                pair.as_chunks_mut().0.iter_mut().zip(blocked).zip(&mut greatest)
            {
                let x = s.select(s.mask_from_bytes(blocked), none, s.load(lanes));
                s.store(lanes, x);
                *greatest = s.max(*greatest, x);
            }
        }
        for (x, &blocked) in rest.iter_mut().zip(blocked_rest) {
            *x = if blocked != 0 { f32::NEG_INFINITY } else { *x };
        }
    } else {
        for pair in pairs {
            for (lanes, greatest) in pair.as_chunks().0.iter().zip(&mut greatest) {
                *greatest = s.max(*greatest, s.load(lanes));
            }
        }
    }
    let of_rest = rest.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    s.maximum(s.max(greatest[0], greatest[1])).max(of_rest)
}

/// Replaces each entry by `e^(entry - greatest)` and answers their sum; all become zero if `greatest` is minus infinity.
#[inline(always)]
pub(super) fn exponentials<S: Simd>(s: S, row: &mut [f32], greatest: f32) -> f32 {
    if greatest == f32::NEG_INFINITY {
        row.fill(0.0);
        return 0.0;
    }
    let greatest = s.splat(greatest);
    let mut sums = s.zero();
    let (whole, rest) = row.as_chunks_mut::<LANES>();
    for lanes in whole {
        let y = math::exp(s, s.sub(s.load(lanes), greatest));
        s.store(lanes, y);
        sums = s.add(sums, y);
    }
    if !rest.is_empty() {
        let y = math::exp(s, s.sub(s.load_part(rest, f32::NEG_INFINITY), greatest));
        s.store_part(rest, y);
        sums = s.add(sums, y);
    }
    s.sum(sums)
}
