//! Plans of any shape, blocking and number of threads: their words and lengths, never a panic. The
//! length that is told for a small layer is enough.
#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use trine_fuzz::{case, length};
use trine_kernels::{Blocking, Engine, Error, Isa, Line, Op, Packing, Supported, Thresholds, scratch_len};
use trine_tests::property::isas;
use trine_tests::{Case, Op as Method, Outcome};

const OPS: [Op; 5] = [Op::Forward, Op::GradInput, Op::GradParams, Op::Backward, Op::Step];

fn thresholds(u: &mut Unstructured<'_>) -> Result<Thresholds> {
    Ok(Thresholds {
        copy_a_bytes: length(u)?,
        copy_a_strips: length(u)?,
        copy_b_bytes: length(u)?,
        copy_b_tiles: length(u)?,
        stream_bytes: length(u)?,
        fetch_a_bytes: length(u)?,
        outer_bytes: length(u)?,
        past_bytes: length(u)?,
        small: length(u)?,
        planless: length(u)?,
        thread_work: length(u)?,
    })
}

fn words(u: &mut Unstructured<'_>) -> Result<()> {
    let (n, d, m) = (length(u)?, length(u)?, length(u)?);
    let packing = *u.choose(&[Packing::Auto, Packing::Always, Packing::Never])?;
    let thresholds = thresholds(u)?;
    let blocking = Blocking { mc: length(u)?, nc: length(u)?, packing, thresholds };
    // They are begun: many of them take their time.
    let threads = u.int_in_range(0..=9usize)?;
    for isa in isas() {
        let engine = Engine::with_isa(isa).expect("available").with_threads(threads);
        for engine in [engine, Engine::with_isa(isa).expect("available").with_blocking(blocking)] {
            for op in OPS {
                let (single, double) = (engine.plan::<f32>(op, n, d, m), engine.plan::<f64>(op, n, d, m));
                assert!(single.to_string().contains("f32") && double.to_string().contains("f64"));
                assert!(single.threads() >= 1 && single.threads() <= threads.max(1));
            }
        }
    }
    for isa in Isa::ALL {
        for op in OPS {
            let len = scratch_len::<f32>(isa, op, n, d, m);
            // Twice the bytes never need less.
            assert!(scratch_len::<f64>(isa, op, n, d, m) >= len / 2);
        }
    }
    Ok(())
}

/// On the caller's memory, of just the length that is told.
fn enough<E: Supported>(case: &Case) {
    let op = match case.op {
        Method::Forward | Method::Matmul => Op::Forward,
        Method::GradInput => Op::GradInput,
        Method::GradParams => Op::GradParams,
        Method::Backward => Op::Backward,
        Method::Step => Op::Step,
    };
    for isa in isas() {
        let len = scratch_len::<E>(isa, op, case.shape.n, case.shape.d, case.shape.m);
        let mut scratch = vec![Line::UNINIT; len];
        let mut engine = Engine::with_scratch(isa, &mut scratch).expect("available");
        let done = Outcome::<E>::before(case).call(case, &mut engine);
        assert_eq!(done, Ok::<(), Error>(()), "{isa}, {len} lines, {case:?}");
    }
}

fn plan(bytes: &[u8]) -> Result<()> {
    let u = &mut Unstructured::new(bytes);
    words(u)?;
    let case = case(u, &Method::ALL)?;
    if bool::arbitrary(u)? {
        enough::<f64>(&case)
    } else {
        enough::<f32>(&case)
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let _ = plan(bytes);
});
