//! Static memory of a module with one thread.

use core::cell::{Cell, UnsafeCell};

/// A value that one function at a time works with.
pub struct Single<T> {
    value: UnsafeCell<T>,
    taken: Cell<bool>,
}

// SAFETY: the module is compiled without atomics, so it has one thread.
unsafe impl<T> Sync for Single<T> {}

impl<T> Single<T> {
    pub const fn new(value: T) -> Self {
        Single { value: UnsafeCell::new(value), taken: Cell::new(false) }
    }

    /// Works with it.
    ///
    /// # Panics
    /// Within itself.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        assert!(!self.taken.replace(true), "in use");
        // SAFETY: the one reference, until the mark is taken back.
        let result = work(unsafe { &mut *self.value.get() });
        self.taken.set(false);
        result
    }

    /// For JavaScript, which reads and writes between calls.
    pub fn address(&self) -> *mut T {
        self.value.get()
    }
}
