//! Engines on several threads: whoever lends the threads, and however the work is shared out, results
//! have the same bits. WebAssembly has no threads.
#![cfg(not(target_family = "wasm"))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use trine_core::{Activation, Write};
use trine_kernels::{Engine, Executor, Pool, Rayon, Supported};
use trine_tests::exact::EXACT;
use trine_tests::property::{hold_on, isas};
use trine_tests::{Case, Op, Order, Role, agree};

/// Large enough for several threads, in several ways of sharing out: by outputs, by blocks of the batch.
fn cases() -> impl Iterator<Item = Case> {
    let shapes = [(64, 200, 130), (1100, 70, 65), (2040, 33, 40), (7, 1031, 533)];
    shapes.into_iter().flat_map(|(n, d, m)| {
        [Op::Forward, Op::GradInput, Op::GradParams, Op::Backward, Op::Step].map(|op| Case {
            activation: Activation::Silu,
            params_write: Write::ADD.times(-0.01),
            ..Case::plain(op, n, d, m)
        })
    })
}

/// What an engine computes on these threads is what it computes on one.
fn same_as_alone<E: Supported>(executor: &dyn Executor) {
    for isa in isas() {
        let mut alone = Engine::with_isa(isa).expect("available");
        let mut lent = Engine::with_isa(isa).expect("available").with_executor(executor);
        assert_eq!(lent.threads(), executor.threads());
        for case in cases() {
            let (found, expected) = (case.run::<E, _>(&mut lent), case.run::<E, _>(&mut alone));
            agree(&found, &expected).unwrap_or_else(|why| panic!("{isa}, {executor:?}: {why}\n{case:?}"));
        }
    }
}

/// The batch is shared out in blocks, the sums are added in order; any strides of the outputs.
#[test]
fn threads_share_out_a_long_batch() {
    let shapes = [(1024, 32, 64), (2040, 9, 40), (1536, 100, 3)];
    let cases = shapes.into_iter().flat_map(|(n, d, m)| {
        [Op::GradParams, Op::Backward, Op::Step].into_iter().flat_map(move |op| {
            [2, 3].into_iter().flat_map(move |threads| {
                [(Order::Rows, 1), (Order::Columns, 1), (Order::Columns, 2)].map(|(order, step)| {
                    let params_write = Write::ADD.times(-0.25);
                    let mut case = Case { threads, params_write, ..Case::plain(op, n, d, m) };
                    for role in [Role::Dw, Role::Dx] {
                        let place = &mut case.places[role as usize];
                        (place.order, place.step) = (order, step);
                    }
                    case
                })
            })
        })
    });
    hold_on(cases, EXACT);
}

/// Calls as many members as it says, one after the other; none at all is allowed, too.
#[derive(Debug)]
struct Calls(usize);

impl Executor for Calls {
    fn threads(&self) -> usize {
        4
    }
    fn run(&self, _members: usize, _work: usize, member: &(dyn Fn() + Sync)) {
        (0..self.0).for_each(|_| member());
    }
}

/// A thread for each member, and some more.
#[derive(Debug)]
struct Scoped;

impl Executor for Scoped {
    fn threads(&self) -> usize {
        3
    }
    fn run(&self, members: usize, _work: usize, member: &(dyn Fn() + Sync)) {
        std::thread::scope(|scope| (0..members + 2).for_each(|_| drop(scope.spawn(member))));
    }
}

/// Counts how often it is asked, and calls the one member who is there.
#[derive(Debug, Default)]
struct Asked(AtomicUsize);

impl Executor for Asked {
    fn threads(&self) -> usize {
        2
    }
    fn run(&self, _members: usize, _work: usize, member: &(dyn Fn() + Sync)) {
        self.0.fetch_add(1, Relaxed);
        member();
    }
}

/// A product without a plan is no reason to leave the threads without work; a small one is.
#[test]
fn what_is_large_enough_asks_for_threads() {
    for isa in isas() {
        let asked = Asked::default();
        let mut engine = Engine::with_isa(isa).expect("available").with_executor(&asked);
        let mut times = |op, side| {
            asked.0.store(0, Relaxed);
            let _ = Case::plain(op, side, side, side).run::<f32, _>(&mut engine);
            asked.0.load(Relaxed)
        };
        for op in [Op::Forward, Op::GradInput, Op::GradParams, Op::Backward] {
            assert!(times(op, 100) > 0, "{isa} {op:?}");
            assert_eq!(times(op, 30), 0, "{isa} {op:?}");
        }
    }
}

#[test]
fn any_executor_will_do() {
    for calls in [0, 1, 2, 9] {
        same_as_alone::<f32>(&Calls(calls));
    }
    same_as_alone::<f64>(&Scoped);
    rayon::ThreadPoolBuilder::new()
        .num_threads(3)
        .build()
        .expect("threads")
        .install(|| same_as_alone::<f32>(&Rayon));
}

#[test]
fn a_pool_that_sleeps_at_once_misses_nothing() {
    let pool = Pool::with_spin(3, Duration::ZERO);
    for _ in 0..3 {
        same_as_alone::<f32>(&pool);
    }
    let count = AtomicUsize::new(0);
    for _ in 0..500 {
        pool.run(3, usize::MAX, &|| _ = count.fetch_add(1, Relaxed));
    }
    assert!((500..=1500).contains(&count.load(Relaxed)), "{count:?}");
}

#[test]
fn engines_on_several_threads_share_a_pool() {
    let pool = Pool::new(3);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| same_as_alone::<f32>(&pool));
        }
    });
}

#[test]
fn all_members_run_at_the_same_time() {
    let pool = Pool::new(4);
    let here = AtomicUsize::new(0);
    // Each waits for the others.
    pool.run(4, usize::MAX, &|| {
        here.fetch_add(1, Relaxed);
        while here.load(Relaxed) < 4 {
            std::thread::yield_now();
        }
    });
    assert_eq!(here.load(Relaxed), 4);
}

#[test]
fn a_member_may_use_the_pool_itself() {
    let pool = Pool::new(3);
    let count = AtomicUsize::new(0);
    pool.run(3, usize::MAX, &|| pool.run(3, usize::MAX, &|| _ = count.fetch_add(1, Relaxed)));
    assert!((1..=3).contains(&count.load(Relaxed)), "{count:?}");
}

#[test]
fn a_panic_of_a_member_reaches_the_caller_and_the_pool_lives_on() {
    let pool = Pool::new(3);
    for _ in 0..20 {
        let panic = catch_unwind(AssertUnwindSafe(|| pool.run(3, usize::MAX, &|| panic!("a member"))));
        assert_eq!(panic.expect_err("passed on").downcast_ref::<&str>(), Some(&"a member"));
    }
    same_as_alone::<f32>(&pool);
}

/// What a forked process says within a minute: the number it ends with. The child does nothing but `work`.
#[cfg(all(unix, target_arch = "x86_64"))]
fn forked(work: impl FnOnce() -> bool) -> Option<i32> {
    // SAFETY: the child calls nothing but `work` and ends without the parent's destructors.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            let right = catch_unwind(AssertUnwindSafe(work)).unwrap_or(false);
            libc::_exit(if right { 0 } else { 1 });
        }
        assert!(child > 0, "no process");
        let mut status = 0;
        for _ in 0..6000 {
            if libc::waitpid(child, &mut status, libc::WNOHANG) == child {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, &mut status, 0);
        None
    }
}

/// A pool's threads are not in the child of a fork, whatever they were about: spinning, asleep, or on the way.
/// Not under emulation, where a fork of several threads is another matter.
#[cfg(all(unix, target_arch = "x86_64"))]
#[test]
fn a_forked_process_neither_waits_for_the_threads_nor_ends_them() {
    let case = Case::plain(Op::Backward, 64, 200, 130);
    let expected = case.run::<f32, _>(&mut Engine::new());
    for spin in [Duration::ZERO, Pool::SPIN, Duration::from_secs(3600)] {
        for pause in [0, 1, 300, 3000] {
            let pool = Pool::with_spin(3, spin);
            let count = AtomicUsize::new(0);
            pool.run(3, usize::MAX, &|| _ = count.fetch_add(1, Relaxed));
            std::thread::sleep(Duration::from_micros(pause));
            let work = || {
                let calls = AtomicUsize::new(0);
                (0..50).for_each(|_| pool.run(3, usize::MAX, &|| _ = calls.fetch_add(1, Relaxed)));
                let found = case.run::<f32, _>(&mut Engine::new().with_executor(&pool));
                // SAFETY: the child's copy, which nobody uses after this.
                drop(unsafe { std::ptr::read(&pool) });
                calls.into_inner() == 50 && agree(&found, &expected).is_ok()
            };
            assert_eq!(forked(work), Some(0), "spin {spin:?}, {pause} µs after a call");
        }
    }
}

/// Found by fuzzing: as many as the system gave were begun, which took ten seconds.
#[cfg_attr(not(target_arch = "x86_64"), ignore = "an emulator takes its time for so many")]
#[test]
fn a_pool_of_more_threads_than_any_machine_has_cores_has_an_end() {
    let pool = Pool::new(usize::MAX);
    assert!((1..=Pool::MOST_THREADS).contains(&pool.threads()), "{}", pool.threads());
}
