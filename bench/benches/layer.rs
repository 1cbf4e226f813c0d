//! Benchmarks of the layer, in GFLOP/s: the three products, the fused backward pass, and shapes so
//! small that the call itself matters. `TRINE_ISA` chooses the instruction set.

use std::time::{Duration, Instant};

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, Throughput};
use trine_bench::shape;
use trine_bench::verify;
use trine_bench::workload::{Operands, Results, flops, op_name, perform, rounding};
use trine_core::{LinearKernels, Shape};
use trine_kernels::{Engine, GemmCrate, Op};

/// Wall-clock time; throughput in elements is read as floating-point operations.
struct Flops;

impl Measurement for Flops {
    type Intermediate = Instant;
    type Value = Duration;

    fn start(&self) -> Instant {
        Instant::now()
    }

    fn end(&self, start: Instant) -> Duration {
        start.elapsed()
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

fn scale(values: &mut [f64], factor: f64) {
    for value in values {
        *value *= factor;
    }
}

impl ValueFormatter for Flops {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        let (factor, unit) = match typical {
            t if t < 1e3 => (1.0, "ns"),
            t if t < 1e6 => (1e-3, "µs"),
            t if t < 1e9 => (1e-6, "ms"),
            _ => (1e-9, "s"),
        };
        scale(values, factor);
        unit
    }

    /// Operations per nanosecond are GFLOP/s.
    fn scale_throughputs(&self, _: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let (amount, unit) = match *throughput {
            Throughput::Elements(flops) => (flops as f64, "GFLOP/s"),
            Throughput::Bits(bits) => (bits as f64, "Gbit/s"),
            Throughput::Bytes(bytes) | Throughput::BytesDecimal(bytes) => (bytes as f64, "GB/s"),
            Throughput::ElementsAndBytes { elements, .. } => (elements as f64, "GFLOP/s"),
        };
        for value in values {
            *value = amount / *value;
        }
        unit
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "ns"
    }
}

const fn shapes<const N: usize>(sides: [(usize, usize, usize); N]) -> [Shape; N] {
    let mut shapes = [Shape { n: 0, d: 0, m: 0 }; N];
    let mut i = 0;
    while i < N {
        let (n, d, m) = sides[i];
        shapes[i] = Shape { n, d, m };
        i += 1;
    }
    shapes
}

const USUAL: [Shape; 3] = shapes([(64, 64, 64), (64, 784, 512), (512, 512, 512)]);
const TINY: [Shape; 4] = shapes([(4, 4, 4), (1, 64, 32), (8, 8, 8), (16, 64, 10)]);

/// One operation at some shapes, with the engine and with the `gemm` crate.
fn group(c: &mut Criterion<Flops>, name: &str, ops: &[Op], shapes: &[Shape]) {
    let mut group = c.benchmark_group(name);
    for &shape in shapes {
        let given = Operands::<f32>::random(shape, 1);
        for &op in ops {
            let mut engine = Engine::from_env().expect("TRINE_ISA names an instruction set of this machine");
            let mut out = Results::before(op, &given);
            perform(op, &mut engine, &given, &mut out).expect("the operands fit the shape");
            verify::exact(op, &given, &out, rounding::<f32, _>(&mut engine)).expect("the reference's bits");
            group.throughput(Throughput::Elements(flops(op, shape) as u64));
            let case = format!("{} {}", shape::name(shape), op_name(op));
            let mut run = |who: &str, kernels: &mut dyn FnMut()| {
                group.bench_function(format!("{case} {who}"), |b| b.iter(&mut *kernels));
            };
            run("trine", &mut || call(op, &mut engine, &given, &mut out));
            let (mut gemm, mut out) = (GemmCrate::new(1), Results::before(op, &given));
            run("gemm", &mut || call(op, &mut gemm, &given, &mut out));
        }
    }
    group.finish();
}

fn call<K: LinearKernels<f32>>(op: Op, kernels: &mut K, given: &Operands<f32>, out: &mut Results<f32>) {
    perform(op, kernels, given, out).expect("the operands fit the shape");
}

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(Flops)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(20)
        .configure_from_args();
    group(&mut criterion, "NN", &[Op::Forward], &USUAL);
    group(&mut criterion, "NT", &[Op::GradInput], &USUAL);
    group(&mut criterion, "TN", &[Op::GradParams], &USUAL);
    group(&mut criterion, "backward", &[Op::Backward], &USUAL);
    group(&mut criterion, "tiny", &[Op::Forward, Op::Backward], &TINY);
    criterion.final_summary();
}
