//! Pictures of a training as SVG: `pebble` (activations over time), `gantt` (workers over time),
//! `curves` (loss and accuracy over the epochs). The first two are drawn from a `timeline`: of the
//! schedule, or of a run that was measured.

pub mod args;
pub mod canvas;
pub mod curves;
pub mod gantt;
pub mod pebble;
pub mod timeline;
