//! What a call returns, and what was wrong in words. Here panics end: none crosses into C.

use core::cell::Cell;
use core::ffi::c_char;
use core::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use trine_core::Error;

/// What a call returns.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum trine_status {
    /// Done.
    OK = 0,
    /// A pointer is null.
    NULL = 1,
    /// A pointer is not a multiple of the element's size.
    MISALIGNED = 2,
    /// A matrix reaches beyond its number of elements.
    TOO_SHORT = 3,
    /// A matrix, or scratch memory, reaches beyond the address space.
    TOO_LARGE = 4,
    /// Two elements of an output would be in one place.
    OVERLAP = 5,
    /// An output and another operand are in one place.
    ALIASED = 6,
    /// Two operands do not agree.
    SHAPE = 7,
    /// An operand is needed and was not given.
    MISSING = 8,
    /// A number is outside its domain.
    VALUE = 9,
    /// The memory of the engine is too small.
    SCRATCH = 10,
    /// This machine does not have the instruction set.
    ISA = 11,
    /// There is no memory, or there are no threads, for a new engine.
    RESOURCES = 12,
    /// A mistake in the library itself; outputs may have been written.
    INTERNAL = 13,
}

/// Why a call is refused.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// As the engine says it; of which operand, where the engine does not say.
    Layer(Error, Option<&'static str>),
    /// A pointer that must not be null.
    Null(&'static str),
    /// A matrix with elements at a null pointer.
    NullMatrix { operand: &'static str, rows: usize, cols: usize },
    /// The size that its address is to be a multiple of.
    Misaligned { operand: &'static str, size: usize },
    /// The output and the other operand.
    Aliased(&'static str, &'static str),
    /// No constant of this kind.
    Constant { operand: &'static str, found: i32 },
    /// Bytes for an engine.
    Memory { expected: usize, found: usize },
    /// What there is none of.
    Resources(&'static str),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Layer(error, None)
    }
}

impl Failure {
    fn status(&self) -> trine_status {
        match self {
            Failure::Layer(error, _) => match error {
                Error::TooLarge { .. } => trine_status::TOO_LARGE,
                Error::TooShort { .. } => trine_status::TOO_SHORT,
                Error::Overlap { .. } => trine_status::OVERLAP,
                Error::Shape { .. } => trine_status::SHAPE,
                Error::Missing { .. } => trine_status::MISSING,
                Error::Scratch { .. } => trine_status::SCRATCH,
                Error::Isa { .. } => trine_status::ISA,
                _ => trine_status::VALUE,
            },
            Failure::Null(_) | Failure::NullMatrix { .. } => trine_status::NULL,
            Failure::Misaligned { .. } => trine_status::MISALIGNED,
            Failure::Aliased(..) => trine_status::ALIASED,
            Failure::Constant { .. } => trine_status::VALUE,
            Failure::Memory { .. } => trine_status::SCRATCH,
            Failure::Resources(_) => trine_status::RESOURCES,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Failure::Layer(Error::Scratch { expected, found }, _) => {
                write!(f, "scratch memory needs {} bytes, but has {}", bytes(expected), bytes(found))
            }
            Failure::Layer(error, Some(operand)) => write!(f, "{operand}: {error}"),
            Failure::Layer(error, None) => write!(f, "{error}"),
            Failure::Null(operand) => write!(f, "{operand} is null"),
            Failure::NullMatrix { operand, rows, cols } => {
                write!(f, "{operand} is null, but has {rows}×{cols} elements")
            }
            Failure::Misaligned { operand, size } => {
                write!(f, "the address of {operand} is not a multiple of {size}")
            }
            Failure::Aliased(output, other) => write!(f, "{output} shares memory with {other}"),
            Failure::Constant { operand, found } => {
                write!(f, "{operand} is {found}, which is no constant of trine.h")
            }
            Failure::Memory { expected, found } => {
                write!(f, "an engine needs at least {expected} bytes of memory, but has {found}")
            }
            Failure::Resources(what) => write!(f, "there are no {what} for a new engine"),
        }
    }
}

fn bytes(lines: usize) -> usize {
    lines.saturating_mul(size_of::<trine_kernels::Line>())
}

/// Room for a message.
const ROOM: usize = 256;

/// Text in a fixed place, cut off where it does not fit, always closed by a zero.
struct Text {
    bytes: [u8; ROOM],
    len: usize,
}

impl fmt::Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let mut fits = s.len().min(ROOM - 1 - self.len);
        while !s.is_char_boundary(fits) {
            fits -= 1;
        }
        self.bytes[self.len..self.len + fits].copy_from_slice(&s.as_bytes()[..fits]);
        self.len += fits;
        self.bytes[self.len] = 0;
        Ok(())
    }
}

thread_local! {
    /// Of this thread's last failure. Neither made at run time nor dropped: nothing is allocated for it.
    static MESSAGE: Cell<[u8; ROOM]> = const { Cell::new([0; ROOM]) };
}

fn say(what: impl fmt::Display) {
    let mut text = Text { bytes: [0; ROOM], len: 0 };
    let _ = write!(text, "{what}");
    MESSAGE.set(text.bytes);
}

/// Runs `work`; a failure is remembered and becomes a status, a panic too.
pub(crate) fn guarded(work: impl FnOnce() -> Result<(), Failure>) -> trine_status {
    guarded_or(trine_status::INTERNAL, || match work() {
        Ok(()) => Ok(trine_status::OK),
        Err(failure) => Err((failure.status(), failure)),
    })
}

/// The same for functions that return something else, `otherwise` after a panic.
pub(crate) fn guarded_or<T>(otherwise: T, work: impl FnOnce() -> Result<T, (T, Failure)>) -> T {
    // Nothing that a panic leaves half done is looked at again: an engine's scratch memory has no
    // meaning between calls, and outputs are the caller's.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => value,
        Ok(Err((value, failure))) => {
            say(failure);
            value
        }
        Err(_) => {
            say("a mistake in the library itself: please report it");
            otherwise
        }
    }
}

/// What was wrong in the last call of this thread that failed: which operand, what was expected, what was
/// found, such as "w has 783 rows, but x has 784 columns". UTF-8, never null, empty before the first
/// failure; valid until the next failure in this thread.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub extern "C" fn trine_message() -> *const c_char {
    MESSAGE.with(|message| message.as_ptr().cast_const().cast())
}

/// What a trine_status means, in words; never null.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub extern "C" fn trine_status_text(status: i32) -> *const c_char {
    let text = match status {
        0 => c"done",
        1 => c"a pointer is null",
        2 => c"a pointer is not aligned",
        3 => c"a matrix reaches beyond its elements",
        4 => c"a matrix or scratch memory reaches beyond the address space",
        5 => c"two elements of an output are in one place",
        6 => c"an output and another operand are in one place",
        7 => c"two operands do not agree",
        8 => c"an operand is missing",
        9 => c"a number is outside its domain",
        10 => c"the memory of the engine is too small",
        11 => c"the machine does not have the instruction set",
        12 => c"no memory or no threads for a new engine",
        13 => c"a mistake in the library itself",
        _ => c"no such status",
    };
    text.as_ptr()
}

#[cfg(test)]
mod tests {
    use core::ffi::CStr;

    use super::*;

    fn message() -> &'static str {
        // SAFETY: a text closed by a zero, of this thread, compared before the next failure.
        unsafe { CStr::from_ptr(trine_message()) }.to_str().expect("UTF-8")
    }

    #[test]
    fn a_panic_becomes_a_status() {
        assert_eq!(guarded(|| panic!("on purpose")), trine_status::INTERNAL);
        assert_eq!(message(), "a mistake in the library itself: please report it");
        assert_eq!(guarded_or(7, || -> Result<i32, _> { panic!("on purpose") }), 7);
    }

    #[test]
    fn a_message_is_of_its_thread_and_is_cut_off_between_letters() {
        assert_eq!(message(), "");
        assert_eq!(guarded(|| Err(Failure::Null("x"))), trine_status::NULL);
        assert_eq!(message(), "x is null");
        std::thread::spawn(|| assert_eq!(message(), "")).join().expect("the same there");
        // Two bytes a letter, and one before them: the last one would not fit.
        say(format!("a{}", "×".repeat(ROOM)));
        assert_eq!(message().len(), ROOM - 1);
        say(format!("ab{}", "×".repeat(ROOM)));
        assert_eq!(message().len(), ROOM - 2);
        assert_eq!(guarded(|| Ok(())), trine_status::OK);
        assert!(message().starts_with("ab×"), "of the last failure");
    }

    #[test]
    fn every_status_has_its_own_words() {
        // SAFETY: texts of the program.
        let text = |status| unsafe { CStr::from_ptr(trine_status_text(status)) };
        let all: std::collections::BTreeSet<_> = (-1..=trine_status::INTERNAL as i32).map(text).collect();
        assert_eq!(all.len(), trine_status::INTERNAL as usize + 2);
        assert_eq!(text(i32::MIN), text(trine_status::INTERNAL as i32 + 1));
    }
}
