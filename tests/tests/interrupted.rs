//! A panic in what the caller hands in: a task, a layer's pass, kernels. It goes through to the caller, and
//! what was in use then works as if it had not been.

use std::panic::{AssertUnwindSafe, catch_unwind};

use trine_core::{Activation, Element};
use trine_core::{
    Backprop, Backward, Cache, Error, Forward, Fused, Gradients, Lanes, LinearKernels, MatMut, MatRef,
    Network, Reference, Slot, Step, Task, Write,
};
use trine_kernels::Engine;
use trine_tests::property::{isas, with_engine};
use trine_tests::values::{mix, uniform};
use trine_tests::{Case, Op, agree};

/// What `work` says as it panics.
fn panic_of<T>(work: impl FnOnce() -> T) -> String {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(_) => "it did not panic".into(),
        Err(words) => words.downcast_ref::<&str>().map_or("other words".into(), ToString::to_string),
    }
}

struct Fails;

impl<E: Element> Task<E> for Fails {
    type Output = ();

    fn run<L: Lanes<E>>(self, _: L) {
        panic!("a task");
    }
}

#[test]
fn an_engine_works_on_after_a_task_has_panicked() {
    let case = Case::plain(Op::Backward, 37, 41, 43);
    for isa in isas() {
        let expected = with_engine::<f32, _>(isa, &case, |engine| case.run::<f32, _>(engine));
        let mut engine = Engine::with_isa(isa).expect("available");
        assert_eq!(panic_of(|| LinearKernels::<f32>::run(&mut engine, Fails)), "a task");
        agree(&case.run::<f32, _>(&mut engine), &expected).unwrap();
    }
}

/// The reference, which panics in its call number `at` if that is not 0.
struct Kernels {
    calls: usize,
    at: usize,
}

impl Kernels {
    fn call(&mut self) {
        self.calls += 1;
        assert!(self.calls != self.at, "kernels");
    }
}

impl<E: Element> LinearKernels<E> for Kernels {
    fn forward_with(&mut self, forward: Forward<'_, E>) -> Result<(), Error> {
        self.call();
        Reference(Fused).forward_with(forward)
    }

    fn matmul(
        &mut self,
        c: MatMut<'_, E>,
        a: MatRef<'_, E>,
        b: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        Reference(Fused).matmul(c, a, b, write)
    }

    fn grad_params(
        &mut self,
        dw: MatMut<'_, E>,
        db: Option<&mut [E]>,
        x: MatRef<'_, E>,
        dz: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        Reference(Fused).grad_params(dw, db, x, dz, write)
    }

    fn backward(&mut self, given: Backward<'_, E>, wanted: Gradients<'_, E>) -> Result<(), Error> {
        self.call();
        Reference(Fused).backward(given, wanted)
    }

    fn backward_step(&mut self, step: Step<'_, E>) -> Result<(), Error> {
        Reference(Fused).backward_step(step)
    }

    fn run<T: Task<E>>(&mut self, task: T) -> T::Output {
        LinearKernels::<E>::run(&mut Reference(Fused), task)
    }
}

const WIDTHS: [usize; 4] = [5, 9, 7, 3];
const ROWS: usize = 4;

fn numbers(len: usize, seed: u64) -> Vec<f32> {
    (0..len as u64).map(|i| uniform(mix(seed << 32 ^ i)) as f32).collect()
}

fn network() -> Network<'static> {
    Network::new(&WIDTHS, Activation::Gelu, Activation::Identity).expect("a network")
}

/// A step forward and backward, of which a part may panic and is then done again.
fn gradients(interrupt: Option<&str>) -> Vec<u32> {
    let network = network();
    let mut memory = vec![f32::NAN; network.activations_len(ROWS, 1)];
    let mut slots = vec![Slot::EMPTY; network.slots_len(1)];
    let mut cache = network.cache(&mut memory, &mut slots, ROWS).expect("room");
    let params = numbers(network.params_len(), 1);
    let dy = numbers(ROWS * 3, 2);
    let mut grads = vec![f32::NAN; network.params_len()];
    let mut scratch = vec![f32::NAN; network.scratch_len(ROWS)];

    network.input(&mut cache, 0, ROWS).expect("empty").copy_from_slice(&numbers(ROWS * 5, 3));
    let bytes = cache.bytes();
    if interrupt == Some("forward") {
        for at in 1..=network.layers() {
            let mut kernels = Kernels { calls: 0, at };
            let words = panic_of(|| network.forward(&mut kernels, &params, &mut cache, 0));
            assert_eq!(words, "kernels");
            assert_eq!(cache.bytes(), bytes, "slots of layers that are not done, at layer {at}");
        }
    }
    let mut kernels = Kernels { calls: 0, at: 0 };
    network.forward(&mut kernels, &params, &mut cache, 0).expect("nothing is left of what was interrupted");

    let mut backward = |kernels: &mut Kernels, cache: &mut Cache<'_, f32>, on_layer: &dyn Fn(usize)| {
        let operands = Backprop {
            params: &params,
            grads: &mut grads,
            write: Write::REPLACE,
            dy: MatRef::row_major(&dy, ROWS, 3).expect("fits"),
            dx: None,
            scratch: &mut scratch,
        };
        network.backward(kernels, cache, 0, operands, |layer, _| on_layer(layer))
    };
    let layer_panics = |layer| {
        if layer == 1 {
            panic!("a layer's gradient");
        }
    };
    match interrupt {
        Some("backward") => {
            let mut kernels = Kernels { calls: 0, at: 2 };
            assert_eq!(panic_of(|| backward(&mut kernels, &mut cache, &|_| {})), "kernels");
        }
        Some("on_layer") => {
            let words = panic_of(|| backward(&mut kernels, &mut cache, &layer_panics));
            assert_eq!(words, "a layer's gradient");
        }
        _ => {}
    }
    backward(&mut kernels, &mut cache, &|_| {}).expect("nothing is left of what was interrupted");
    assert_eq!(cache.bytes(), 0);
    grads.iter().map(|value| value.to_bits()).collect()
}

/// Was wrong: the slots that forward had begun stayed full, and the next forward was refused.
#[test]
fn forward_can_be_done_again_after_a_panic_in_any_layer() {
    assert_eq!(gradients(Some("forward")), gradients(None));
}

#[test]
fn backward_can_be_done_again_after_a_panic() {
    assert_eq!(gradients(Some("backward")), gradients(None));
    assert_eq!(gradients(Some("on_layer")), gradients(None));
}
