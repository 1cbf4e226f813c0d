//! Benchmarks of the layer, in GFLOP/s: the three products, the fused backward pass, and shapes so
//! small that the call itself matters, the engine beside the `gemm` crate. A group is called
//! `op/dtype/shape/isa`. `TRINE_ISA` chooses the instruction set; `cargo bench -- --save-baseline NAME` and
//! `--baseline NAME` compare two builds, `cargo bench -- dw/f32` runs a part. All of it takes 80 seconds.

use std::time::{Duration, Instant};

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, Throughput};
use trine_bench::shape::{self, shapes};
use trine_bench::verify;
use trine_bench::workload::{Operands, Results, flops, op_name, perform, rounding};
use trine_core::{LinearKernels, Shape};
use trine_kernels::{Engine, GemmCrate, Op, Supported};

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

const USUAL: [Shape; 4] = shapes([(16, 64, 10), (64, 64, 64), (64, 784, 512), (512, 512, 512)]);
const DOUBLE: [Shape; 2] = shapes([(64, 64, 64), (64, 784, 512)]);
const TINY: [Shape; 3] = shapes([(4, 4, 4), (1, 64, 32), (8, 8, 8)]);
const OPS: [Op; 4] = [Op::Forward, Op::GradInput, Op::GradParams, Op::Backward];

/// Operations at some shapes: a group for each, with the engine and with the `gemm` crate.
fn groups<E: Supported>(c: &mut Criterion<Flops>, ops: &[Op], shapes: &[Shape]) {
    for &shape in shapes {
        let given = Operands::<E>::random(shape, 1);
        for &op in ops {
            let mut engine = Engine::from_env().expect("TRINE_ISA names an instruction set of this machine");
            let name = format!("{}/{}/{}/{}", op_name(op), E::NAME, shape::argument(shape), engine.isa());
            let mut group = c.benchmark_group(name);
            group.throughput(Throughput::Elements(flops(op, shape) as u64));
            let mut out = Results::before(op, &given);
            call(op, &mut engine, &given, &mut out);
            verify::exact(op, &given, &out, rounding::<E, _>(&mut engine)).expect("the reference's bits");
            let (mut gemm, mut other) = (GemmCrate::new(1), Results::before(op, &given));
            call(op, &mut gemm, &given, &mut other);
            verify::close(shape, &other, &out).expect("the engine's results, but for rounding");
            group.bench_function("trine", |b| b.iter(|| call(op, &mut engine, &given, &mut out)));
            group.bench_function("gemm", |b| b.iter(|| call(op, &mut gemm, &given, &mut other)));
            group.finish();
        }
    }
}

fn call<E: Supported, K: LinearKernels<E>>(
    op: Op,
    kernels: &mut K,
    given: &Operands<E>,
    out: &mut Results<E>,
) {
    perform(op, kernels, given, out).expect("the operands fit the shape");
}

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(Flops)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(20)
        .configure_from_args();
    groups::<f32>(&mut criterion, &OPS, &USUAL);
    groups::<f64>(&mut criterion, &OPS, &DOUBLE);
    groups::<f32>(&mut criterion, &[Op::Forward, Op::Backward], &TINY);
    criterion.final_summary();
}
