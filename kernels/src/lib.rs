//! SIMD kernels for a linear layer on the CPU, forward and backward.
#![no_std]

#[cfg(feature = "std")]
extern crate std;

mod backward;
#[cfg(feature = "std")]
mod caches;
#[cfg(target_arch = "x86_64")]
mod cpuid;
mod dispatch;
mod engine;
mod gemm;
mod isa;
mod microkernel;
mod pack;
mod plan;
mod product;
mod scratch;
mod threads;
mod vector;

pub use dispatch::{Isa, Supported, Token};
pub use engine::Engine;
pub use plan::{Blocking, Caches, Packing};
pub use scratch::{Line, Op, scratch_len};
pub use trine_core as definition;
