//! No call allocates after the first of its size. A program of its own, without a test harness, so
//! that what the counting allocator sees is what the calls do.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use trine_core::{Activation, Fused, LinearKernels, Reference};
use trine_kernels::{Engine, Line, Supported, scratch_len};
use trine_tests::property::isas;
use trine_tests::{Case, Op, Order, Outcome};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator, which is one.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    work();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

fn cases() -> Vec<Case> {
    let shapes = [(1, 10, 1), (7, 13, 5), (64, 48, 33), (130, 150, 140), (600, 40, 50)];
    let mut cases = Vec::new();
    for (n, d, m) in shapes {
        for op in Op::ALL {
            for order in [Order::Rows, Order::Columns] {
                let plain = Case { activation: Activation::Tanh, ..Case::plain(op, n, d, m) };
                cases.push(Case { places: plain.places.map(|place| place.ordered(order)), ..plain });
            }
        }
    }
    cases
}

/// Allocations of the first call, and of the three after it.
fn first_and_later<E: Supported>(case: &Case, kernels: &mut impl LinearKernels<E>) -> (usize, usize) {
    let mut outcome = Outcome::before(case);
    let mut call = |times: usize| {
        allocations(|| (0..times).for_each(|_| outcome.call(case, kernels).expect("operands that fit")))
    };
    (call(1), call(3))
}

fn check<E: Supported>(calls: &mut usize) {
    for case in cases() {
        let (first, later) = first_and_later::<E>(&case, &mut Reference(Fused));
        assert_eq!((first, later), (0, 0), "the reference, {case:?}");
        for isa in isas() {
            let mut engine = Engine::with_isa(isa).expect("available");
            let (first, later) = first_and_later::<E>(&case, &mut engine);
            assert!(first <= 1, "{isa}: {first} allocations in a first call, {case:?}");
            assert_eq!(later, 0, "{isa}, after the first call, {case:?}");
            // A smaller layer needs nothing new.
            let smaller = case.rows(0..case.shape.n / 2);
            assert_eq!(first_and_later::<E>(&smaller, &mut engine), (0, 0), "{isa}, smaller, {smaller:?}");

            let op = match case.op {
                Op::Forward | Op::Matmul => trine_kernels::Op::Forward,
                Op::GradInput => trine_kernels::Op::GradInput,
                Op::GradParams => trine_kernels::Op::GradParams,
                Op::Backward => trine_kernels::Op::Backward,
                Op::Step => trine_kernels::Op::Step,
            };
            let len = scratch_len::<E>(isa, op, case.shape.n, case.shape.d, case.shape.m);
            let mut scratch = vec![Line::UNINIT; len];
            let mut engine = Engine::with_scratch(isa, &mut scratch).expect("available");
            let counted = first_and_later::<E>(&case, &mut engine);
            assert_eq!(counted, (0, 0), "{isa} on the caller's memory, {case:?}");
            *calls += 12;
        }
    }
}

fn main() {
    assert!(allocations(|| drop(std::hint::black_box(vec![1u8]))) > 0, "the allocator does not count");
    let mut calls = 0;
    check::<f32>(&mut calls);
    check::<f64>(&mut calls);
    println!("{calls} calls of engines: none allocated after the first of its size");
}
