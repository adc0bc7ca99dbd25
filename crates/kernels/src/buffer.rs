//! Memory for kernels: aligned to cache lines, taken once and reused.

use std::alloc::{self, Layout};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use bytemuck::Pod;

/// Bytes of a cache line, to which every buffer is aligned.
pub const ALIGNMENT: usize = 64;

/// A slice of zeros at first, aligned to [`ALIGNMENT`] bytes.
///
/// Fresh memory comes from the system on first touch, so a large buffer costs nothing until it is used.
pub struct AlignedVec<T> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: the buffer owns its memory and `Pod` values are plain data.
unsafe impl<T: Pod + Send> Send for AlignedVec<T> {}
// SAFETY: as above; shared access only reads.
unsafe impl<T: Pod + Sync> Sync for AlignedVec<T> {}

impl<T: Pod> AlignedVec<T> {
    /// A buffer of `len` zeros.
    ///
    /// # Panics
    /// If `len` values exceed the address space, as with `Vec`.
    pub fn zeroed(len: usize) -> Self {
        let layout = Self::layout(len);
        if layout.size() == 0 {
            // Aligned as well, so that no values can be seen as no values of another type.
            let nothing = std::ptr::without_provenance_mut(layout.align());
            return Self { start: NonNull::new(nothing).unwrap_or(NonNull::dangling()), len };
        }
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc::alloc_zeroed(layout) };
        let Some(start) = NonNull::new(memory.cast()) else { alloc::handle_alloc_error(layout) };
        Self { start, len }
    }

    /// A buffer with a copy of these values.
    pub fn from_slice(values: &[T]) -> Self {
        let mut buffer = Self::zeroed(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl<T> AlignedVec<T> {
    fn layout(len: usize) -> Layout {
        let align = ALIGNMENT.max(align_of::<T>());
        let size = len.checked_mul(size_of::<T>());
        let layout = size.and_then(|size| Layout::from_size_align(size, align).ok());
        layout.unwrap_or_else(|| {
            panic!("a buffer of {len} values of {} bytes exceeds the address space", size_of::<T>())
        })
    }
}

impl<T> Drop for AlignedVec<T> {
    fn drop(&mut self) {
        let layout = Self::layout(self.len);
        if layout.size() > 0 {
            // SAFETY: allocated in `zeroed` with the same layout.
            unsafe { alloc::dealloc(self.start.as_ptr().cast(), layout) }
        }
    }
}

impl<T: Pod> Deref for AlignedVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` values were allocated and zeroed, and zeros are valid for `Pod` types.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Pod> DerefMut for AlignedVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`; the exclusive borrow makes this the only access.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Pod> Clone for AlignedVec<T> {
    fn clone(&self) -> Self {
        Self::from_slice(self)
    }
}

impl<T: Pod + std::fmt::Debug> std::fmt::Debug for AlignedVec<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

/// Cuts buffers of any type from one block of memory.
///
/// What is cut lives as long as the block's borrow; a nested arena over [`Arena::rest`] gives its memory back at the
/// end of its scope. The values are whatever the block held before.
///
/// ```
/// use medparse_kernels::{AlignedVec, Arena};
/// let mut block = AlignedVec::<u8>::zeroed(Arena::bytes::<f32>(100) + Arena::bytes::<u8>(5));
/// let mut arena = Arena::new(&mut block);
/// let (tokens, flags) = (arena.take::<f32>(100), arena.take::<u8>(5));
/// tokens[0] = 1.0;
/// flags[4] = 1;
/// ```
pub struct Arena<'a> {
    free: &'a mut [u8],
}

impl<'a> Arena<'a> {
    /// Cuts from this block.
    ///
    /// # Panics
    /// If the block does not begin at a multiple of [`ALIGNMENT`]; an [`AlignedVec`] does.
    pub fn new(block: &'a mut [u8]) -> Self {
        assert!(
            block.as_ptr().addr().is_multiple_of(ALIGNMENT),
            "an arena begins at a multiple of {ALIGNMENT} bytes"
        );
        Self { free: block }
    }

    /// The bytes that `len` values of this type take in an arena.
    pub const fn bytes<T>(len: usize) -> usize {
        (len * size_of::<T>()).next_multiple_of(ALIGNMENT)
    }

    /// Cuts `len` values.
    ///
    /// # Panics
    /// If fewer bytes are free than [`Arena::bytes`] says.
    pub fn take<T: Pod>(&mut self, len: usize) -> &'a mut [T] {
        let bytes = Self::bytes::<T>(len);
        assert!(
            bytes <= self.free.len(),
            "{bytes} bytes asked of an arena with {} left",
            self.free.len()
        );
        let (taken, free) = std::mem::take(&mut self.free).split_at_mut(bytes);
        self.free = free;
        &mut bytemuck::cast_slice_mut(taken)[..len]
    }

    /// An arena over what is free, which is free again once the new arena is gone.
    pub fn rest(&mut self) -> Arena<'_> {
        Arena { free: self.free }
    }

    /// Bytes not yet taken.
    pub fn free(&self) -> usize {
        self.free.len()
    }
}

/// Asserts that a kernel was given as many values of scratch space as it asks for.
#[track_caller]
pub(crate) fn check_scratch(given: usize, needed: usize) {
    assert!(given >= needed, "{needed} values of scratch space are needed, {given} were given");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_zeroed_and_writable() {
        for len in [0, 1, 3, 16, 1000] {
            let mut buffer = AlignedVec::<f32>::zeroed(len);
            assert!(buffer.as_ptr().addr().is_multiple_of(ALIGNMENT));
            assert!(buffer.len() == len && buffer.iter().all(|&x| x == 0.0));
            buffer.fill(2.0);
            assert_eq!(buffer.clone().to_vec(), vec![2.0; len]);
        }
    }

    #[test]
    fn an_arena_cuts_aligned_disjoint_buffers_and_takes_them_back() {
        let mut block = AlignedVec::<u8>::zeroed(1024);
        let mut arena = Arena::new(&mut block);
        let a = arena.take::<f32>(3);
        let free = arena.free();
        {
            let mut inner = arena.rest();
            let b = inner.take::<u8>(65);
            assert!(b.as_ptr().addr().is_multiple_of(ALIGNMENT));
            b.fill(7);
            assert_eq!(inner.free(), free - 128);
        }
        assert_eq!(arena.free(), free);
        assert_eq!(a, [0.0; 3]);
    }

    #[test]
    #[should_panic(expected = "128 bytes asked of an arena with 64 left")]
    fn an_arena_names_what_is_missing() {
        let mut block = AlignedVec::<u8>::zeroed(64);
        Arena::new(&mut block).take::<f32>(17);
    }
}
