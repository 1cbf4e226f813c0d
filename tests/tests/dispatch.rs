//! Which instruction sets a CPU is found to have. `TRINE_EXPECT=portable,avx2` says which, for
//! emulated CPUs: these have to run, and all others have to be refused. Without it, what is found
//! has to agree with the standard library.

use std::collections::BTreeSet;

use trine_kernels::{Engine, Isa, Line};
use trine_tests::exact::EXACT;
use trine_tests::{Case, Op};

/// What the standard library finds.
#[cfg(target_arch = "x86_64")]
fn found_by_std() -> Vec<Isa> {
    // A macro that takes names of features.
    macro_rules! all {
        ($($feature:tt)*) => { $(std::is_x86_feature_detected!($feature))&&* };
    }
    let avx2 = all!("avx2" "fma" "bmi1" "bmi2" "lzcnt" "popcnt");
    let avx512 = avx2 && all!("avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl");
    [(Isa::Portable, true), (Isa::Sse2, true), (Isa::Avx2, avx2), (Isa::Avx512, avx512)]
        .into_iter()
        .filter_map(|(isa, found)| found.then_some(isa))
        .collect()
}

/// What the standard library finds.
#[cfg(not(target_arch = "x86_64"))]
fn found_by_std() -> Vec<Isa> {
    match () {
        () if cfg!(target_arch = "aarch64") => vec![Isa::Portable, Isa::Neon],
        // A module is compiled for it or not: there is nothing to find.
        () if cfg!(all(target_arch = "wasm32", target_feature = "simd128")) => {
            vec![Isa::Portable, Isa::Simd128]
        }
        () => vec![Isa::Portable],
    }
}

fn expected() -> Vec<Isa> {
    let Ok(names) = std::env::var("TRINE_EXPECT") else { return found_by_std() };
    let isa = |name: &str| name.parse().unwrap_or_else(|error| panic!("TRINE_EXPECT={names}: {error}"));
    names.split(',').map(isa).collect()
}

#[test]
fn exactly_the_expected_instruction_sets_are_found() {
    let names = |isas: &[Isa]| isas.iter().map(|isa| isa.name()).collect::<BTreeSet<_>>();
    let found: Vec<_> = Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect();
    assert_eq!(names(&found), names(&expected()));
    assert_eq!(Some(&Isa::best()), found.last());
}

#[test]
fn expected_instruction_sets_run_and_others_are_refused() {
    let expected = expected();
    for isa in Isa::ALL {
        let mut scratch = [Line::UNINIT; 1];
        let engines = [Engine::with_isa(isa), Engine::with_scratch(isa, &mut scratch)];
        for engine in engines {
            match engine {
                Ok(engine) => {
                    assert!(expected.contains(&isa) && engine.isa() == isa, "{isa} was not refused")
                }
                Err(error) => {
                    assert!(!expected.contains(&isa), "{error}");
                    assert_eq!(
                        error.to_string(),
                        format!("{isa} cannot be used: this machine does not have it")
                    );
                }
            }
        }
    }
    // On each of them, against the reference.
    for op in Op::ALL {
        for (n, d, m) in [(1, 1, 1), (7, 13, 19), (33, 65, 49), (5, 520, 9)] {
            for (name, statement) in EXACT {
                statement(&Case::plain(op, n, d, m)).unwrap_or_else(|why| panic!("{name}: {why}"));
            }
        }
    }
}
