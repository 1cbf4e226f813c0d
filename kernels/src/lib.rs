//! SIMD kernels for a linear layer on the CPU, forward and backward.
//!
//! ```text
//!     Y  = act(X·W + b)          X n×d   W d×m   b m   Y n×m
//!     ∇Z = ∇Y ⊙ act'(·)
//!     ∇X = ∇Z·Wᵀ                 ∇W = Xᵀ·∇Z            ∇b = 1ᵀ·∇Z
//! ```
//!
//! An [`Engine`] computes them through the trait [`LinearKernels`]; every element of a result has one
//! defined value ([`trine_core::linear`]), whatever the instruction set, the strides, the batch and
//! the number of threads. The way of a call, file by file:
//!
//! `engine` (checks) → `dispatch` (which unit) → `gemm`, `backward` (which way) → `plan` (which loops) →
//! `direct`, `blocked` and their like (the loops) → `pack` → `microkernel` → `elementwise` (activations)
//!
//! # Features
//! - `std` (default): run-time detection of the instruction set, an engine that owns its scratch memory, threads;
//!   and all of the following five.
//! - `activations`: sigmoid, tanh, GELU and SiLU, which a microcontroller may have no room for.
//! - `f64`: engines for `f64` ([`Supported`]).
//! - `optimizers`: Adam and AdamW ([`trine_core::Rule`]).
//! - `packing`: kernels that copy operands into scratch memory where many tiles read the same part. Without, large
//!   products are slower on a vector unit. With one lane nothing is ever copied.
//! - `threads`: executors ([`Executor`]), also without an operating system.
//! - `rayon`: rayon's threads in place of the engine's own.
//! - `gemm`: the same layer on the `gemm` crate, as a peer and an oracle.
//!
//! Without `std` nothing is allocated: [`Engine::with_scratch`] works on the caller's memory, and
//! [`scratch_len`] says how much that is, at compile time.
#![no_std]

#[cfg(any(feature = "std", test))]
extern crate std;

mod backward;
mod blocked;
#[cfg(feature = "std")]
mod caches;
mod chunks;
#[cfg(feature = "gemm")]
mod composed;
#[cfg(target_arch = "x86_64")]
mod cpuid;
mod describe;
mod direct;
mod dispatch;
mod elementwise;
mod engine;
mod executor;
pub mod fixed;
mod gemm;
#[cfg(feature = "gemm")]
mod gemm_crate;
mod isa;
pub mod memory;
mod microkernel;
mod narrow;
mod outer;
mod pack;
pub mod peak;
mod plan;
#[cfg(feature = "std")]
mod pool;
mod problem;
mod product;
pub mod raw;
mod registry;
mod runs;
mod scalar;
mod scratch;
mod slabs;
mod small;
mod stream;
mod sums;
mod sweep;
mod threads;
mod tiles;
mod tuning;
mod turned;
mod upcoming;
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(dead_code, reason = "only SIMD units use all of it")
)]
mod vector;

#[cfg(feature = "gemm")]
pub use composed::{Composed, Multiply};
pub use describe::Plan;
pub use dispatch::{Dispatch, Token};
pub use engine::{Engine, Supported};
pub use executor::Executor;
#[cfg(feature = "rayon")]
pub use executor::Rayon;
#[cfg(feature = "gemm")]
pub use gemm_crate::{GemmCrate, GemmProduct};
pub use isa::Isa;
pub use plan::{Blocking, Caches, Packing};
#[cfg(feature = "std")]
pub use pool::Pool;
pub use registry::{Kernel, main_kernel, registry};
pub use scratch::{Line, Op, scratch_len};
pub use trine_core::{
    Activation, Backward, Element, Error, Forward, Gradients, LinearKernels, MatMut, MatRef, Shape, Step,
    Write,
};
pub use tuning::{Choice, Thresholds, Tuning, TuningError};
