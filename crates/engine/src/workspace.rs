//! Memory for runs, taken once and used again.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use medparse_kernels::AlignedVec;

/// Free blocks that are kept: enough for a run and one beside it.
const KEPT: usize = 2;

/// Blocks that no run uses at the moment.
#[derive(Debug, Default)]
pub(crate) struct Workspaces {
    free: Mutex<Vec<AlignedVec<u8>>>,
}

/// A block that goes back when its user is done; it holds whatever was in it before.
#[derive(Debug)]
pub(crate) struct Block {
    bytes: AlignedVec<u8>,
    home: Arc<Workspaces>,
}

impl Workspaces {
    /// A block of at least so many bytes: the smallest free one that is large enough, or a new one
    /// in place of the largest that is not.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Block {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let at = free.partition_point(|block| block.len() < bytes);
        let found = if at < free.len() {
            Some(free.remove(at))
        } else {
            free.pop();
            None
        };
        drop(free);
        let bytes = found.unwrap_or_else(|| AlignedVec::zeroed(bytes));
        Block { bytes, home: self.clone() }
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let bytes = std::mem::replace(&mut self.bytes, AlignedVec::zeroed(0));
        let mut free = self.home.free.lock().unwrap_or_else(PoisonError::into_inner);
        let at = free.partition_point(|block| block.len() < bytes.len());
        free.insert(at, bytes);
        if free.len() > KEPT {
            // The smallest is the cheapest to take anew.
            free.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_used_again_and_replaced_by_larger_ones() {
        let spaces = Arc::new(Workspaces::default());
        let first = spaces.take(100).as_ptr();
        assert_eq!(spaces.take(64).as_ptr(), first, "the free block is large enough");
        let (a, b) = (spaces.take(10), spaces.take(20));
        assert_eq!((a.len(), b.len()), (100, 20));
        drop((a, b));
        assert_eq!(spaces.take(15).len(), 20, "the smallest that is large enough");
        assert_eq!(spaces.take(1000).len(), 1000);
        assert_eq!(spaces.free.lock().unwrap().len(), 2, "it replaced one");
    }
}
