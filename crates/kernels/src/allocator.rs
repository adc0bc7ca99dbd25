//! What mimalloc does with the pages of freed memory, where it is the program's allocator.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// `mi_option_purge_delay` of mimalloc.h: milliseconds until the pages of freed memory go back to the system.
const PURGE_DELAY: mi_option_t = 15;

/// The delay that means never.
const NEVER: c_long = -1;

/// Keeps the pages of freed memory for what is allocated next, instead of giving them back to the system.
///
/// A training step frees gigabytes and asks for them again; to be handed them anew, zeroed page by page, takes a third
/// of its time. To be called once, when a program begins, before it starts threads.
pub fn keep_freed_pages() {
    // SAFETY: sets a number that the allocator reads when it frees; nothing else writes it.
    unsafe { mi_option_set(PURGE_DELAY, NEVER) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_delay() {
        let delay = || {
            // SAFETY: reads a number.
            unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }
        };
        assert_eq!(delay(), 1000, "the delay that mimalloc begins with");
        keep_freed_pages();
        assert_eq!(delay(), NEVER);
    }
}
