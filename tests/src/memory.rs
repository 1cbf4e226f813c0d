//! Memory for operands: a plain vector, or pages with an unreadable one right before or behind.

use std::ops::{Deref, DerefMut};

/// Where a buffer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// In a vector.
    Plain,
    /// Its first byte is the first of a page; the page before cannot be read.
    GuardBefore,
    /// Its last byte is the last of a page; the page behind cannot be read.
    GuardBehind,
}

/// A slice of elements in memory of its own.
#[derive(Debug)]
pub enum Buffer<E> {
    /// On the heap.
    Plain(Vec<E>),
    /// Beside a guard page.
    #[cfg(unix)]
    Guarded(guard::Pages<E>),
}

impl<E: Copy> Buffer<E> {
    /// `len` elements, all `fill`. Where there are no guard pages to be had, a vector.
    pub fn new(len: usize, fill: E, memory: Memory) -> Self {
        #[cfg(unix)]
        if memory != Memory::Plain {
            return Buffer::Guarded(guard::Pages::new(len, fill, memory == Memory::GuardBehind));
        }
        let _ = memory;
        Buffer::Plain(vec![fill; len])
    }
}

impl<E> Deref for Buffer<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        match self {
            Buffer::Plain(data) => data,
            #[cfg(unix)]
            Buffer::Guarded(pages) => pages,
        }
    }
}

impl<E> DerefMut for Buffer<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        match self {
            Buffer::Plain(data) => data,
            #[cfg(unix)]
            Buffer::Guarded(pages) => pages,
        }
    }
}

/// Guard pages by mmap and mprotect.
#[cfg(unix)]
pub mod guard {
    use std::marker::PhantomData;
    use std::ops::{Deref, DerefMut};
    use std::ptr;

    /// A slice that touches an unreadable page.
    #[derive(Debug)]
    pub struct Pages<T> {
        base: *mut libc::c_void,
        bytes: usize,
        first: *mut T,
        len: usize,
        owned: PhantomData<T>,
    }

    impl<T: Copy> Pages<T> {
        /// `len` times `fill`, ending at an unreadable page or beginning after one.
        ///
        /// # Panics
        /// If the system refuses the memory.
        pub fn new(len: usize, fill: T, behind: bool) -> Self {
            // SAFETY: sysconf only reads a constant of the system.
            let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("page size");
            assert!(align_of::<T>() <= page);
            let inside = (len * size_of::<T>()).next_multiple_of(page);
            let bytes = inside + 2 * page;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
            // SAFETY: new anonymous pages, no memory that anyone uses is touched.
            let base = unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
            assert!(base != libc::MAP_FAILED, "mmap of {bytes} bytes failed");
            let start = base.cast::<u8>().wrapping_add(page);
            if inside > 0 {
                let access = libc::PROT_READ | libc::PROT_WRITE;
                // SAFETY: `inside` bytes from `start` on are pages of the mapping made above.
                let refused = unsafe { libc::mprotect(start.cast(), inside, access) };
                assert_eq!(refused, 0, "mprotect failed");
            }
            // The size of a type is a multiple of its alignment, so the end of a page is as good a place.
            let offset = if behind { inside - len * size_of::<T>() } else { 0 };
            let first = start.wrapping_add(offset).cast::<T>();
            for i in 0..len {
                // SAFETY: element i of `len`, all of which lie in the readable pages.
                unsafe { first.add(i).write(fill) };
            }
            Pages { base, bytes, first, len, owned: PhantomData }
        }

        /// Makes the slice unreadable, until [`open`](Pages::open).
        ///
        /// # Panics
        /// If the system refuses.
        pub fn close(&mut self) {
            self.protect(libc::PROT_NONE);
        }

        /// Makes it readable and writable again.
        ///
        /// # Panics
        /// If the system refuses.
        pub fn open(&mut self) {
            self.protect(libc::PROT_READ | libc::PROT_WRITE);
        }

        fn protect(&mut self, access: libc::c_int) {
            // SAFETY: sysconf only reads a constant of the system.
            let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("page size");
            let start = self.base.cast::<u8>().wrapping_add(page);
            // SAFETY: the pages between the two unreadable ones, of the mapping made in `new`.
            let refused = unsafe { libc::mprotect(start.cast(), self.bytes - 2 * page, access) };
            assert_eq!(refused, 0, "mprotect failed");
        }
    }

    impl<T> Deref for Pages<T> {
        type Target = [T];

        fn deref(&self) -> &[T] {
            // SAFETY: `new` has written `len` elements from `first` on, aligned, in pages of this value's own.
            unsafe { std::slice::from_raw_parts(self.first, self.len) }
        }
    }

    impl<T> DerefMut for Pages<T> {
        fn deref_mut(&mut self) -> &mut [T] {
            // SAFETY: as in `deref`, and `self` is borrowed for as long as the slice lives.
            unsafe { std::slice::from_raw_parts_mut(self.first, self.len) }
        }
    }

    impl<T> Drop for Pages<T> {
        fn drop(&mut self) {
            // SAFETY: the mapping was made in `new` with this length and nothing refers to it now.
            unsafe { libc::munmap(self.base, self.bytes) };
        }
    }
}
