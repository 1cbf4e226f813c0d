//! SIMD kernels for a linear layer on the CPU, forward and backward.
#![no_std]

#[cfg(feature = "std")]
extern crate std;

mod backward;
#[cfg(feature = "std")]
mod caches;
#[cfg(target_arch = "x86_64")]
mod cpuid;
mod describe;
mod dispatch;
mod elementwise;
mod engine;
mod gemm;
#[cfg(feature = "gemm")]
mod gemm_crate;
mod isa;
mod microkernel;
mod pack;
pub mod peak;
mod plan;
mod problem;
mod product;
mod registry;
mod scratch;
mod sums;
mod threads;
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(dead_code, reason = "only SIMD units use all of it")
)]
mod vector;

pub use describe::Plan;
pub use dispatch::{Supported, Token};
pub use engine::Engine;
#[cfg(feature = "gemm")]
pub use gemm_crate::GemmCrate;
pub use isa::Isa;
pub use plan::{Blocking, Caches, Packing};
pub use registry::{Kernel, main_kernel, registry};
pub use scratch::{Line, Op, scratch_len};
pub use trine_core as definition;
