//! Trainings on any number of workers: settings, epochs, checkpoints, reports.
//!
//! ```text
//!     args → Job (Recipe: what decides the bits; Plan: who does what) + Data
//!         ↓
//!     launch (threads)   or   examples/data-parallel (MPI)
//!         ↓
//!     session: epochs of steps of a Worker, hashes, test, checkpoint
//!         ↓
//!     summary, curves
//! ```

pub mod args;
pub mod checkpoint;
pub mod in_place;
pub mod launch;
pub mod recipe;
pub mod session;
pub mod summary;
