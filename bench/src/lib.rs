//! The parts of the program `trine`: data, measurement, comparison, reports.

pub mod accuracy;
pub mod bandwidth;
pub mod bench;
pub mod bootstrap;
pub mod cblas;
pub mod check;
pub mod cli;
pub mod contest;
pub mod counts;
pub mod data;
#[cfg(feature = "faer")]
pub mod faer_crate;
pub mod files;
pub mod images;
pub mod limits;
pub mod machine;
pub mod measure;
pub mod overhead;
pub mod parallel;
pub mod peak;
pub mod peer;
pub mod picture;
pub mod products;
pub mod regress;
pub mod report;
pub mod reporting;
pub mod roofline;
pub mod shape;
pub mod stats;
pub mod stored;
pub mod table;
pub mod timed;
pub mod train;
pub mod training;
pub mod tune;
pub mod verify;
pub mod worker;
pub mod workload;

/// Why a command could not do what it was asked for, as one sentence.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
