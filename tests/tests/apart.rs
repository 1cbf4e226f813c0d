//! Two engines at the same time: neither touches what belongs to the other. Under ThreadSanitizer (ci/trust)
//! any memory that both touch, of which one writes, ends this program.

use std::ops::Range;
use std::sync::Barrier;

use trine_kernels::{Engine, Isa, Line};
use trine_tests::property::isas;
use trine_tests::{Blocks, Case, Memory, Op, Order, Outcome, Role, agree, volume};

/// Everything that belongs to one engine: the scratch memory it was lent and the operands of its call.
fn ranges(scratch: &[Line], outcome: &Outcome<f32>) -> Vec<Range<usize>> {
    let operands = Role::ALL.map(|role| {
        let range = outcome.get(role).buffer().as_ptr_range();
        range.start.addr()..range.end.addr()
    });
    let scratch = scratch.as_ptr_range();
    operands.into_iter().chain(std::iter::once(scratch.start.addr()..scratch.end.addr())).collect()
}

fn cases() -> Vec<Case> {
    let shapes = [(97, 130, 65), (3, 530, 200), (600, 40, 33)];
    let mut cases = Vec::new();
    for (n, d, m) in shapes {
        for op in Op::ALL {
            for (order, blocks) in [(Order::Rows, Blocks::Packed), (Order::Columns, Blocks::Chosen)] {
                let plain = Case { blocks, ..Case::plain(op, n, d, m) };
                cases.push(Case { places: plain.places.map(|place| place.ordered(order)), ..plain });
            }
        }
    }
    cases
}

/// Some calls on memory of its own, each begun when the other thread begins one. Returns that memory.
fn work(isa: Isa, cases: &[Case], together: &Barrier) -> Vec<Range<usize>> {
    let mut scratch = vec![Line::UNINIT; 40_000];
    let mut all = Vec::new();
    for case in cases {
        let rounding = isa.rounding::<f32>();
        let expected = volume::expected::<f32>(case, rounding);
        let mut outcome = Outcome::before(case);
        let mut engine = Engine::with_scratch(isa, &mut scratch).expect("available");
        together.wait();
        outcome.call(case, &mut engine).expect("enough scratch memory");
        agree(&outcome, &expected).unwrap_or_else(|why| panic!("{isa}: {why}\n{case:?}"));
        all.extend(ranges(&scratch, &outcome));
        together.wait();
    }
    all
}

#[test]
fn two_engines_on_two_threads_have_nothing_in_common() {
    let cases = cases();
    let backwards: Vec<Case> = cases.iter().rev().cloned().collect();
    for isa in isas() {
        let together = Barrier::new(2);
        let (one, other) = std::thread::scope(|scope| {
            let one = scope.spawn(|| work(isa, &cases, &together));
            let other = scope.spawn(|| work(isa, &backwards, &together));
            (one.join().expect("no panic"), other.join().expect("no panic"))
        });
        // Eight ranges a call, of calls that were made at the same time.
        for (one, other) in one.chunks(8).zip(other.chunks(8)) {
            for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
                assert!(
                    a.is_empty() || b.is_empty() || a.end <= b.start || b.end <= a.start,
                    "{a:x?} {b:x?}"
                );
            }
        }
    }
}

/// While one engine works, the memory of another cannot be touched at all: whoever did would be stopped.
#[cfg(unix)]
#[test]
fn an_engine_works_while_the_memory_of_another_is_out_of_reach() {
    use trine_tests::memory::guard::Pages;

    for isa in isas() {
        let mut lent = Pages::new(4000, Line::UNINIT, true);
        let mut other = Engine::with_scratch(isa, &mut lent).expect("available");
        let case = Case { memory: Memory::GuardBehind, ..Case::plain(Op::Backward, 67, 45, 34) };
        let expected = volume::expected::<f32>(&case, isa.rounding::<f32>());
        agree(&case.run::<f32, _>(&mut other), &expected).expect("the other works");
        drop(other);
        lent.close();
        let mut engine = Engine::with_isa(isa).expect("available");
        agree(&case.run::<f32, _>(&mut engine), &expected).expect("no memory but its own");
        lent.open();
        let mut other = Engine::with_scratch(isa, &mut lent).expect("available");
        agree(&case.run::<f32, _>(&mut other), &expected).expect("the other works on");
    }
}
