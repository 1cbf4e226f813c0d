//! Training on several workers, with the bits of one.
//!
//! ```text
//!     Schedule (trine-core)          what each worker does in a step, as data
//!         ↓
//!     worker                         runs it: one instruction after the other
//!         ↓                          stage → blocks (layers), grads (sums along the tree)
//!     reduce, exchange               sums over replicas, while backward goes on
//!         ↓
//!     comm: trait Communicator       messages
//!         ↓                  ↘
//!     threads                MPI (examples/data-parallel)
//! ```
//!
//! `grid` says who has which layers; `trace` what was done when.

pub mod blocks;
pub mod comm;
pub mod error;
pub mod exchange;
pub mod grads;
pub mod grid;
pub mod reduce;
pub mod stage;
pub mod threads;
pub mod trace;
pub mod worker;

pub use comm::Communicator;
pub use error::Error;
