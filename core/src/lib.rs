//! The definition of a linear layer on the CPU, forward and backward: what every kernel is held to, and
//! what stands on a layer when it is trained. No allocation, no `unsafe`, no dependency, no operating
//! system.
//!
//! ```
//! use trine_core::{Activation, Fused, LinearKernels, MatMut, MatRef, Reference};
//!
//! let (x, w, b) = ([1.0, 2.0], [0.5, -1.0, 0.25, 1.0], [0.0, 1.0]); // 1×2, 2×2, 2
//! let mut y = [0.0; 2];
//! let mut layer = Reference(Fused); // or an engine of trine-kernels
//! let (x, w) = (MatRef::row_major(&x, 1, 2)?, MatRef::row_major(&w, 2, 2)?);
//! layer.forward(MatMut::row_major(&mut y, 1, 2)?, x, w, Some(&b), Activation::Relu)?;
//! assert_eq!(y, [1.0, 2.0]);
//! # Ok::<(), trine_core::Error>(())
//! ```
//!
//! | to read | for |
//! |---|---|
//! | [`linear`] | the trait [`LinearKernels`], the shapes, and the order of additions: the one answer |
//! | [`reference`](mod@reference) | the same as plain loops |
//! | [`view`], [`error`] | matrices over the caller's memory, and what can be wrong with them |
//! | [`lanes`], [`math`], [`activation`] | formulas that run on any number of lanes with the same bits |
//! | [`loss`], [`optimizer`], [`gradient`] | the rest of a training step |
//! | [`network`], [`backprop`], [`cache`], [`init`] | a multi-layer perceptron on flat slices |
//! | [`shards`], [`schedule`] | the same step shared among workers: the order of sums, who does what |
//!
//! Features `activations` (sigmoid, tanh, GELU and SiLU) and `optimizers` (Adam and AdamW) are on by default; a
//! microcontroller may have no room for them. Feature `std` (off by default) takes the scalar fused multiply-add and
//! square root from the standard library; without it they are done in software, with the same bits.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

pub mod activation;
pub mod backprop;
pub mod cache;
pub mod element;
pub mod error;
pub mod gradient;
pub mod hash;
pub mod init;
pub mod lanes;
pub mod linear;
pub mod loss;
pub mod math;
pub mod network;
pub mod optimizer;
pub mod reference;
pub mod schedule;
pub mod shards;
mod soft;
pub mod view;

pub use activation::{Activation, Saved};
pub use backprop::{Backprop, BackpropStep};
pub use cache::{Cache, Slot};
pub use element::Element;
pub use error::{Dim, Error};
pub use hash::{hash_params, hash_parts};
pub use init::{Rng, shuffle};
pub use lanes::{Fused, Lanes, Rounding, Task, Unfused};
pub use linear::{Backward, Forward, Gradients, K_BLOCK, LinearKernels, Shape, Step, Write};
pub use loss::{Loss, Target};
pub use network::Network;
pub use optimizer::{Optimizer, Rule};
pub use reference::Reference;
pub use schedule::{Instruction, Policy, Schedule};
pub use shards::Tree;
pub use view::{Layout, MatMut, MatRef};
