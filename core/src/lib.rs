//! The definition of a linear layer on the CPU, forward and backward.
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
mod soft;
pub mod view;

pub use activation::{Activation, Saved};
pub use backprop::{Backprop, BackpropStep};
pub use cache::{Cache, Slot};
pub use element::Element;
pub use error::{Dim, Error};
pub use hash::hash_params;
pub use init::{Rng, shuffle};
pub use lanes::{Fused, Lanes, Rounding, Task, Unfused};
pub use linear::{Backward, Forward, Gradients, K_BLOCK, LinearKernels, Shape, Step, Write};
pub use loss::{Loss, Target};
pub use network::Network;
pub use optimizer::{Optimizer, Rule};
pub use reference::Reference;
pub use view::{Layout, MatMut, MatRef};
