//! The parts of the program `trine`: data, measurement, comparison, reports.

pub mod data;
pub mod machine;
pub mod shape;
pub mod stats;
