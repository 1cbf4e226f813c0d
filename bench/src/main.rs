//! The program `trine`: see `trine --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    trine_bench::cli::main()
}
