//! `trine report`: everything that is measured on one page, and the same in the terminal.

pub mod args;
pub mod page;
pub mod run;
pub mod text;
