//! What a report measures, in this order: limits, every operation at every shape, cubes, threads, calls.

use std::time::{Duration, Instant};

use trine_core::Shape;
use trine_kernels::{Isa, Op};

use super::text;
use crate::bench::{self, Report, Row, Settings, Setup};
use crate::cli::Dtype;
use crate::contest::Peers;
use crate::limits::{Limits, thread_counts};
use crate::peer::Peer;
use crate::products::Scalar;
use crate::workload::{flops, op_name};
use crate::{Failure, overhead};

/// A cube of which a single call would take longer at the peak is left out.
const LONGEST: f64 = 2.0;
/// Speed over threads is measured for these.
const SCALED: [Op; 2] = [Op::Forward, Op::Backward];

/// What is measured.
#[derive(Clone, Debug)]
pub struct Subjects {
    /// Shapes at which every operation is measured.
    pub shapes: Vec<Shape>,
    /// The operations.
    pub ops: Vec<Op>,
    /// The element types; the first one is that of everything below.
    pub dtypes: Vec<Dtype>,
    /// Cubes, for speed over size.
    pub cubes: Vec<Shape>,
    /// Shapes for speed over threads.
    pub scaling: Vec<Shape>,
}

/// A report to be made.
#[derive(Clone, Debug)]
pub struct Job {
    /// The instruction set of the engine.
    pub isa: Isa,
    /// Threads of the engine and of its peers, but for speed over threads.
    pub threads: usize,
    /// Who is measured next to the engine.
    pub peers: Vec<Peer>,
    /// How long one operation at one shape is measured.
    pub time: Duration,
    /// Whether caches are cold.
    pub cold: bool,
    /// What is measured.
    pub subjects: Subjects,
}

impl Job {
    /// Measures and prints everything.
    ///
    /// # Errors
    /// A peer that cannot be used, or a wrong result of the engine.
    pub fn run(&self) -> Result<Report, Failure> {
        let start = Instant::now();
        let mut report = Report { settings: self.settings(), ..Report::new() };
        let machine = &report.machine;
        let counts = thread_counts(machine.cores.max(self.threads));
        let available: Vec<_> = Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect();
        let limits = Limits::measure(machine, &available, &[self.isa], &counts)?;
        text::machine(machine, &report.settings, &limits);
        report.limits = Some(limits);

        let mut setup = Setup {
            cold: self.cold,
            start,
            ..Setup::new(self.isa, self.threads, self.peers.clone(), self.time)
        };
        for (i, &dtype) in self.subjects.dtypes.iter().enumerate() {
            self.every_operation(&mut report, &mut setup, dtype, i == 0)?;
        }
        if let Some(&dtype) = self.subjects.dtypes.first() {
            self.threads(&mut report, &setup, dtype, &counts)?;
            for shape in overhead::SHAPES {
                let found = match dtype {
                    Dtype::F32 => overhead::measure::<f32>(self.isa, shape, self.time)?,
                    Dtype::F64 => overhead::measure::<f64>(self.isa, shape, self.time)?,
                };
                report.overheads.push(found);
            }
        }
        report.settings.took = start.elapsed().as_secs_f64();
        text::end(&report);
        Ok(report)
    }

    fn settings(&self) -> Settings {
        let sides = |shapes: &[Shape]| shapes.iter().map(|shape| [shape.n, shape.d, shape.m]).collect();
        Settings {
            isas: vec![self.isa.name().into()],
            dtypes: self.subjects.dtypes.iter().map(|dtype| dtype.name().into()).collect(),
            threads: self.threads,
            peers: self.peers.iter().map(|peer| peer.name().into()).collect(),
            cold: self.cold,
            time: self.time.as_secs_f64(),
            shapes: sides(&self.subjects.shapes),
            scaling: sides(&self.subjects.scaling),
            ..Settings::now()
        }
    }

    /// All operations at all shapes, and forward at the cubes.
    fn every_operation(
        &self,
        report: &mut Report,
        setup: &mut Setup,
        dtype: Dtype,
        cubes: bool,
    ) -> Result<(), Failure> {
        let Subjects { shapes, ops, .. } = &self.subjects;
        let mut cases: Vec<_> =
            shapes.iter().flat_map(|&shape| ops.iter().map(move |&op| (op, shape))).collect();
        let fastest = peak(report, self.isa, dtype, self.threads);
        let longest = |shape: &Shape| flops(Op::Forward, *shape) <= LONGEST * fastest;
        let sized = self.subjects.cubes.iter().copied().filter(|shape| cubes && longest(shape));
        cases.extend(sized.map(|shape| (Op::Forward, shape)));
        measure(report, setup, dtype, &cases)
    }

    /// Some shapes on one thread, two, and so on.
    fn threads(
        &self,
        report: &mut Report,
        setup: &Setup,
        dtype: Dtype,
        counts: &[usize],
    ) -> Result<(), Failure> {
        let shapes = self.subjects.scaling.iter();
        let ops: Vec<_> = SCALED.into_iter().filter(|op| self.subjects.ops.contains(op)).collect();
        let cases: Vec<_> = shapes.flat_map(|&shape| ops.iter().map(move |&op| (op, shape))).collect();
        if counts.len() < 2 || cases.is_empty() {
            return Ok(());
        }
        for &threads in counts {
            let mut setup = Setup { threads, ..setup.clone() };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
            pool.install(|| measure(report, &mut setup, dtype, &cases))?;
        }
        Ok(())
    }
}

/// Floating-point operations a second.
fn peak(report: &Report, isa: Isa, dtype: Dtype, threads: usize) -> f64 {
    let mut peaks = report.limits.iter().flat_map(|limits| &limits.peaks);
    let same = peaks
        .find(|of| (of.isa.as_str(), of.dtype.as_str(), of.threads) == (isa.name(), dtype.name(), threads));
    same.map_or(f64::INFINITY, |peak| peak.gflops * 1e9)
}

fn measure(
    report: &mut Report,
    setup: &mut Setup,
    dtype: Dtype,
    cases: &[(Op, Shape)],
) -> Result<(), Failure> {
    match dtype {
        Dtype::F32 => measure_of::<f32>(report, setup, cases),
        Dtype::F64 => measure_of::<f64>(report, setup, cases),
    }
}

/// Measures and prints what has not been measured before.
fn measure_of<E: Scalar>(
    report: &mut Report,
    setup: &mut Setup,
    cases: &[(Op, Shape)],
) -> Result<(), Failure> {
    let limits = report.limits.as_ref();
    setup.roof = limits.and_then(|limits| limits.roof(&report.machine.caches, setup.isa, setup.threads));
    let of = |row: &Row| (row.op.clone(), row.shape(), row.dtype.clone(), row.isa.clone(), row.threads);
    let mut done: Vec<_> = report.rows.iter().map(of).collect();
    let mut peers = Peers::<E>::start(&setup.peers, setup.threads)?;
    for library in peers.libraries() {
        if !report.libraries.contains(&library) {
            report.libraries.push(library);
        }
    }
    text::head(E::NAME, setup);
    for &(op, shape) in cases {
        let case = (
            op_name(op).to_string(),
            shape,
            E::NAME.to_string(),
            setup.isa.name().to_string(),
            setup.threads,
        );
        if !done.contains(&case) {
            let row = bench::measure(setup, &mut peers, op, shape)?;
            text::row(&row, setup);
            report.rows.push(row);
            done.push(case);
        }
    }
    Ok(())
}
