//! The definition of a linear layer on the CPU, forward and backward.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

pub mod activation;
pub mod element;
pub mod error;
pub mod lanes;
pub mod linear;
pub mod math;
pub mod reference;
mod soft;
pub mod view;

pub use activation::{Activation, Saved};
pub use element::Element;
pub use error::{Dim, Error};
pub use lanes::{Fused, Lanes, Rounding, Task, Unfused};
pub use linear::{Backward, Forward, Gradients, K_BLOCK, LinearKernels, Shape, Step, Write};
pub use reference::Reference;
pub use view::{Layout, MatMut, MatRef};
