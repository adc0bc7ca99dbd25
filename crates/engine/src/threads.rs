//! How rows are shared out between threads.

use medparse_kernels::{Arena, Cpu};

/// The most rows of a chunk: with what is computed of them they fill the second level of cache.
const CHUNK: usize = 112;

/// Rows of a register tile.
const TILE: usize = 14;

/// Rows of a chunk: fewer where there would not be one for each thread. What is computed of a row
/// does not depend on it.
pub(crate) fn chunk_rows(cpu: &Cpu, rows: usize) -> usize {
    let share = rows.div_ceil(cpu.threads().count()).next_multiple_of(TILE);
    share.clamp(TILE, CHUNK)
}

/// Bytes that [`workers`] takes of an arena.
pub(crate) fn worker_bytes(cpu: &Cpu, bytes: usize) -> usize {
    cpu.threads().count() * Arena::bytes::<u8>(bytes)
}

/// An arena of so many bytes for each thread.
pub(crate) fn workers<'a>(cpu: &Cpu, arena: &mut Arena<'a>, bytes: usize) -> Vec<Arena<'a>> {
    let bytes = Arena::bytes::<u8>(bytes);
    (0..cpu.threads().count()).map(|_| Arena::new(arena.take(bytes))).collect()
}
