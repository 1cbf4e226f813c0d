//! Kernels.
#![no_std]
#[cfg(feature = "std")]
extern crate std;
pub use trine_core as core_api;
