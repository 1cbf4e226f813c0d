//! The C interface: `include/trine.h` is made from these sources, and has the documentation.
//!
//! ```text
//!     status    what a call returns, and what was wrong in words; where panics end
//!     isa       instruction sets by number and name
//!     operand   matrices at pointers, and all that is checked of them
//!     engine    the opaque handle, on memory of its own or of the caller's
//!     layer     forward, backward, step, gemm, each for f32 and f64
//!     cblas     the two functions of BLAS that stand underneath everything (feature `cblas`), for both
//!               widths of integers
//! ```
#![allow(non_camel_case_types, reason = "the names are those of the C header")]

#[cfg(feature = "cblas")]
pub mod cblas;
pub mod engine;
pub mod isa;
pub mod layer;
mod operand;
mod status;

pub use operand::{trine_in, trine_out};
pub use status::{trine_message, trine_status, trine_status_text};

/// Version of this library, major.
pub const TRINE_VERSION_MAJOR: u32 = 0;
/// Version of this library, minor.
pub const TRINE_VERSION_MINOR: u32 = 1;
/// Version of this library, patch.
pub const TRINE_VERSION_PATCH: u32 = 0;

/// The version of the library that is linked, such as "0.1.0". The macros tell the header's.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub extern "C" fn trine_version() -> *const core::ffi::c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_package_s() {
        let parts = [TRINE_VERSION_MAJOR, TRINE_VERSION_MINOR, TRINE_VERSION_PATCH].map(|n| n.to_string());
        assert_eq!(parts.join("."), env!("CARGO_PKG_VERSION"));
        let pc = include_str!("../trine.pc").lines().find_map(|line| line.strip_prefix("Version: "));
        assert_eq!(pc, Some(env!("CARGO_PKG_VERSION")), "trine.pc");
    }
}
