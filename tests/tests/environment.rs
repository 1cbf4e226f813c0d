//! `TRINE_ISA` chooses the instruction set. A program of its own, without a test harness: it changes
//! its environment, which must not happen beside other threads.

use trine_kernels::{Engine, Isa};

fn with_variable(value: Option<&str>) -> Result<Isa, String> {
    match value {
        // SAFETY: this program has one thread.
        Some(value) => unsafe { std::env::set_var("TRINE_ISA", value) },
        // SAFETY: this program has one thread.
        None => unsafe { std::env::remove_var("TRINE_ISA") },
    }
    Engine::from_env().map(|engine| engine.isa()).map_err(|error| error.to_string())
}

fn main() {
    assert_eq!(with_variable(None), Ok(Isa::best()));
    for isa in Isa::ALL {
        let expected = match isa.is_available() {
            true => Ok(isa),
            false => Err(format!("{isa} cannot be used: this machine does not have it")),
        };
        assert_eq!(with_variable(Some(isa.name())), expected);
    }
    for name in ["", "sse", "AVX2"] {
        let expected = "the instruction set must be one of portable, simd128, sse2, neon, avx2, avx512";
        assert_eq!(with_variable(Some(name)), Err(expected.into()));
    }
    println!("TRINE_ISA: every name does as it says");
}
