//! Randomness without state: every draw follows from the run's seed and from what it is for.
//!
//! A picture's augmentation depends on the seed, the step and its place in the batch alone, so
//! that a run which was cut off goes on exactly as if it had not been.

use rand::SeedableRng;

/// The generator of every draw in this crate.
pub(crate) type Random = rand_pcg::Pcg64Mcg;

/// What a stream of draws is for; streams of different purposes never coincide.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
pub(crate) enum Purpose {
    Order = 1,
    Sample,
    Points,
    Weights,
    Split,
    Bootstrap,
    Absent,
}

/// The stream for one purpose, told apart by `places` (a step, an index, …).
pub(crate) fn stream(seed: u64, purpose: Purpose, places: &[u64]) -> Random {
    let mut state = mixed(seed ^ mixed(purpose as u64));
    for &place in places {
        state = mixed(state ^ place);
    }
    Random::seed_from_u64(state)
}

/// A number that stands for a name among the places of a [`stream`] (FNV-1a).
pub(crate) fn place_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// SplitMix64's step (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
fn mixed(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
