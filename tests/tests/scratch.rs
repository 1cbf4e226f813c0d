//! Scratch memory at the limits: parts of a product that need no more than the whole, sizes that
//! do not fit in memory, blocks of any size. Each has been wrong once.

use trine_core::{
    Activation, Backward, Error, Forward, Fused, Gradients, LinearKernels, MatMut, MatRef, Reference, Write,
};
use trine_kernels::{Blocking, Engine, Executor, Isa, Line, Op, Packing, Plan, scratch_len};
use trine_tests::exact::EXACT;
use trine_tests::property::{hold_on, isas};
use trine_tests::{Case, Order, Role};

/// The backward pass of an engine or of the reference.
type BackwardOf<'k> = dyn FnMut(Backward<'_, f32>, Gradients<'_, f32>) -> Result<(), Error> + 'k;

/// Behind the lines an engine may use.
const GUARD: usize = 1024;
const CANARY: u8 = 0xab;

/// Lends an engine more and more memory until it accepts the work; what lies behind has to be untouched.
fn smallest(isa: Isa, mut work: impl FnMut(Engine<'_>) -> Result<(), Error>) -> usize {
    for len in 0..100_000 {
        let mut memory = vec![Line::UNINIT; len + GUARD];
        let start = memory.as_mut_ptr().cast::<u8>();
        // SAFETY: all of the memory's own bytes.
        unsafe { start.write_bytes(CANARY, memory.len() * 64) };
        match work(Engine::with_scratch(isa, &mut memory[..len]).expect("it is there")) {
            Ok(()) => {
                // SAFETY: the guard's bytes were written above.
                let guard = unsafe { std::slice::from_raw_parts(start.add(len * 64), GUARD * 64) };
                assert!(guard.iter().all(|&b| b == CANARY), "{isa}: written behind {len} lines");
                return len;
            }
            Err(Error::Scratch { expected, .. }) => assert!(expected > len),
            Err(other) => panic!("{other}"),
        }
    }
    panic!("{isa}: never accepted");
}

#[test]
fn a_last_row_of_the_batch_needs_no_more_than_a_whole_wave() {
    let (n, d, m) = (513, 1, 400);
    let (x, w) = (vec![1.0f32; n * d], vec![1.0f32; d * m]);
    let dy: Vec<f32> = (0..n * m).map(|i| (i % 17) as f32 - 8.0).collect();
    let run = |kernels: &mut BackwardOf<'_>| {
        let mut dx = vec![f32::NAN; n * d];
        let given = Backward {
            x: MatRef::row_major(&x, n, d)?,
            w: MatRef::row_major(&w, d, m)?,
            dy: MatRef::row_major(&dy, m, n)?.t(),
            activation: Activation::Identity,
            saved: None,
        };
        let dx_view = Some(MatMut::row_major(&mut dx, n, d)?);
        let (dx_write, params_write) = (Write::REPLACE, Write::REPLACE);
        kernels(given, Gradients { dx: dx_view, dx_write, dw: None, db: None, params_write })?;
        Ok::<_, Error>(dx)
    };
    let expected = run(&mut |g, w| Reference(Fused).backward(g, w)).expect("the reference");
    for isa in isas() {
        smallest(isa, |mut engine| {
            let found = run(&mut |g, w| engine.backward(g, w))?;
            assert_eq!(found, expected, "{isa}");
            Ok(())
        });
    }
}

#[test]
fn a_part_of_one_row_needs_no_more_than_the_whole() {
    for (n, d) in [(9, 300_000), (7, 300_000)] {
        let (x, w) = (vec![1.0f32; n * d], vec![1.0f32; d]);
        for isa in isas() {
            smallest(isa, |engine| {
                let mut y = vec![f32::NAN; n];
                let x = MatRef::row_major(&x, d, n)?.t();
                let w = MatRef::row_major(&w, 1, d)?.t();
                let y_view = MatMut::row_major(&mut y, n, 1)?;
                engine.with_threads(2).forward(y_view, x, w, None, Activation::Identity)?;
                assert!(y.iter().all(|&y| y == d as f32), "{isa}: {y:?}");
                Ok(())
            });
        }
    }
}

/// Whatever its operands look like.
#[test]
fn a_batch_of_no_rows_needs_no_packed_operands() {
    let orders = [Order::Rows, Order::Columns];
    let cases = orders.into_iter().flat_map(|y| orders.map(|dw| (y, dw))).flat_map(|(y, dw)| {
        [1, 2].map(|step| {
            let plain = Case::plain(trine_tests::Op::Backward, 0, 5, 7);
            let mut case = Case { activation: Activation::Relu, first_output: false, ..plain };
            (case.places[Role::Y as usize].order, case.places[Role::Dw as usize].order) = (y, dw);
            case.places[Role::Y as usize].step = step;
            case
        })
    });
    hold_on(cases, EXACT);
}

#[test]
fn a_size_beyond_all_memory_is_an_error() {
    const HUGE: usize = usize::MAX / 16 + 1;
    let one = [1.0f32];
    for isa in isas() {
        let big = MatRef::with_strides(&one, 16, HUGE, 0, 0).expect("one element, repeated");
        let x = MatRef::row_major(&[0.0; 16], 16, 1).expect("fits");
        let w = MatRef::with_strides(&one, 1, HUGE, 0, 0).expect("one element, repeated");
        let given = Backward { x, w, dy: big, activation: Activation::Relu, saved: Some(big) };
        let (dx_write, params_write) = (Write::REPLACE, Write::REPLACE);
        let mut gradient = [7.0; 16];
        let dx = Some(MatMut::row_major(&mut gradient, 16, 1).expect("fits"));
        let wanted = Gradients { dx, dx_write, dw: None, db: None, params_write };
        let error = Engine::with_isa(isa).expect("available").backward(given, wanted).expect_err("too large");
        assert_eq!(gradient, [7.0; 16]);
        assert_eq!(error, Error::TooLarge { operand: "scratch memory" });
    }
    assert!(scratch_len::<f32>(Isa::Avx512, Op::Backward, 1, 0, 4 * HUGE) > HUGE >> 10);
    let plan: Plan = Engine::new().plan::<f32>(Op::Forward, usize::MAX, 2, 3);
    assert!(plan.to_string().contains(&format!("{}×3 outputs", usize::MAX)), "{plan}");
}

#[test]
fn blocks_of_any_size_give_the_same_result() {
    let (n, d, m) = (100, 300, 500);
    let (x, w) = (vec![1.0f32; n * d], vec![1.0f32; d * m]);
    for isa in isas() {
        for (mc, nc) in [(usize::MAX, usize::MAX), (0, 0), (1, usize::MAX), (usize::MAX, 1)] {
            let engine = Engine::with_isa(isa).expect("available");
            let blocking = Blocking { mc, nc, packing: Packing::Always, ..engine.blocking::<f32>() };
            let mut engine = engine.with_blocking(blocking);
            let mut y = vec![f32::NAN; n * m];
            let forward = Forward {
                x: MatRef::row_major(&x, n, d).expect("x"),
                w: MatRef::row_major(&w, d, m).expect("w"),
                bias: None,
                activation: Activation::Identity,
                y: MatMut::row_major(&mut y, n, m).expect("y"),
                z: None,
            };
            engine.forward_with(forward).expect("fits");
            assert!(y.iter().all(|&y| y == d as f32), "{isa} {blocking:?}");
        }
    }
}

/// Threads of which only one has time.
#[derive(Debug)]
struct Eight;

impl Executor for Eight {
    fn threads(&self) -> usize {
        8
    }
    fn run(&self, _members: usize, _work: usize, member: &(dyn Fn() + Sync)) {
        member();
    }
}

/// The whole is a product of tiles; parts of one or two rows go another way.
#[test]
fn a_part_of_few_rows_has_its_room() {
    for (n, d, m) in [(500, 8, 200), (500, 4, 700), (300, 7, 300), (500, 2, 1500)] {
        let x: Vec<f32> = (0..n * d).map(|i| (i % 13) as f32 - 6.0).collect();
        let dz: Vec<f32> = (0..n * m).map(|i| (i % 17) as f32 - 8.0).collect();
        let run = |kernels: &mut dyn LinearKernels32, dw: &mut [f32]| {
            let (x, dz) = (MatRef::row_major(&x, n, d)?, MatRef::row_major(&dz, n, m)?);
            kernels.params(MatMut::row_major(dw, d, m)?, x, dz)
        };
        let mut expected = vec![f32::NAN; d * m];
        run(&mut Reference(Fused), &mut expected).expect("the reference");
        for isa in isas() {
            let mut dw = vec![f32::NAN; d * m];
            smallest(isa, |engine| {
                let mut blocking = engine.blocking::<f32>();
                (blocking.thresholds.small, blocking.thresholds.thread_work) = (0, 1000);
                run(&mut engine.with_blocking(blocking).with_executor(&Eight), &mut dw)
            });
            // Whole numbers: every rounding gives the same.
            assert_eq!(dw, expected, "{isa}, {n}×{d}×{m}");
        }
    }
}

/// ∇W of any implementation.
trait LinearKernels32 {
    fn params(&mut self, dw: MatMut<'_, f32>, x: MatRef<'_, f32>, dz: MatRef<'_, f32>) -> Result<(), Error>;
}

impl<K: LinearKernels<f32>> LinearKernels32 for K {
    fn params(&mut self, dw: MatMut<'_, f32>, x: MatRef<'_, f32>, dz: MatRef<'_, f32>) -> Result<(), Error> {
        self.grad_params(dw, None, x, dz, Write::REPLACE)
    }
}

/// The same with a last row of the batch, on one thread, if small products have a plan as well.
#[test]
fn a_last_row_has_its_room() {
    let (n, d, m) = (513, 200, 200);
    let (x, w, dy) = (vec![1.0f32; n * d], vec![0.5f32; d * m], vec![2.0f32; n * m]);
    for isa in isas() {
        let mut dx = vec![f32::NAN; n * d];
        smallest(isa, |engine| {
            let mut blocking = engine.blocking::<f32>();
            blocking.thresholds.small = 0;
            let given = Backward {
                x: MatRef::row_major(&x, n, d)?,
                w: MatRef::row_major(&w, m, d)?.t(),
                dy: MatRef::row_major(&dy, n, m)?,
                activation: Activation::Identity,
                saved: None,
            };
            let dx = Some(MatMut::row_major(&mut dx, n, d)?);
            let (dx_write, params_write) = (Write::REPLACE, Write::REPLACE);
            let wanted = Gradients { dx, dx_write, dw: None, db: None, params_write };
            engine.with_blocking(blocking).backward(given, wanted)
        });
        assert!(dx.iter().all(|&dx| dx == 200.0), "{isa}");
    }
}
