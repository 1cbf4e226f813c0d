//! Memory for operands: a plain vector, or pages with an unreadable one right before or behind.

use std::ops::{Deref, DerefMut};

use trine_core::Element;

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

impl<E: Element> Buffer<E> {
    /// `len` elements, all `fill`. Where there are no guard pages to be had, a vector.
    pub fn new(len: usize, fill: E, memory: Memory) -> Self {
        #[cfg(unix)]
        if memory != Memory::Plain {
            let mut pages = guard::Pages::new(len, memory == Memory::GuardBehind);
            pages.fill(fill);
            return Buffer::Guarded(pages);
        }
        let _ = memory;
        Buffer::Plain(vec![fill; len])
    }
}

impl<E: Element> Deref for Buffer<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        match self {
            Buffer::Plain(data) => data,
            #[cfg(unix)]
            Buffer::Guarded(pages) => pages,
        }
    }
}

impl<E: Element> DerefMut for Buffer<E> {
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

    use trine_core::Element;

    /// A slice that touches an unreadable page. Its elements are numbers: any bytes are valid.
    #[derive(Debug)]
    pub struct Pages<E> {
        base: *mut libc::c_void,
        bytes: usize,
        first: *mut E,
        len: usize,
        owned: PhantomData<E>,
    }

    // SAFETY: the pages belong to this value alone and elements are plain numbers.
    unsafe impl<E: Send> Send for Pages<E> {}

    impl<E: Element> Pages<E> {
        /// `len` elements, all zero, that end at an unreadable page or begin after one.
        ///
        /// # Panics
        /// If the system refuses the memory.
        pub fn new(len: usize, behind: bool) -> Self {
            // SAFETY: sysconf only reads a constant of the system.
            let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("page size");
            let inside = (len * E::BYTES).next_multiple_of(page);
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
            let offset = if behind { inside - len * E::BYTES } else { 0 };
            let first = start.wrapping_add(offset).cast::<E>();
            Pages { base, bytes, first, len, owned: PhantomData }
        }
    }

    impl<E> Deref for Pages<E> {
        type Target = [E];

        fn deref(&self) -> &[E] {
            // SAFETY: `len` elements from `first` on lie in readable pages, zeroed or written since,
            // aligned because both the page and `len·size` are multiples of the alignment.
            unsafe { std::slice::from_raw_parts(self.first, self.len) }
        }
    }

    impl<E> DerefMut for Pages<E> {
        fn deref_mut(&mut self) -> &mut [E] {
            // SAFETY: as in `deref`, and `self` is borrowed for as long as the slice lives.
            unsafe { std::slice::from_raw_parts_mut(self.first, self.len) }
        }
    }

    impl<E> Drop for Pages<E> {
        fn drop(&mut self) {
            // SAFETY: the mapping was made in `new` with this length and nothing refers to it now.
            unsafe { libc::munmap(self.base, self.bytes) };
        }
    }
}
