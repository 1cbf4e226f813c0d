//! What is counted: every kernel of AVX2 as nearly alone as can be, each way of the plan, and a few shapes of the
//! portable kernels. (Valgrind has no AVX-512; the body of the kernels is the same.)

use trine_core::Shape;
use trine_kernels::{Blocking, Caches, Engine, Isa, Op, Supported, main_kernel, registry};

use super::marker::{counted_call, idle};
use crate::Failure;
use crate::shape::argument;
use crate::workload::{Operands, Results, op_name, perform};

/// One call that is counted.
#[derive(Clone, Debug)]
pub struct Row {
    /// `op/dtype/shape/isa`.
    pub name: String,
    /// The microkernel that does most of the work.
    pub kernel: String,
    /// The way of the plan, in a word.
    pub way: &'static str,
    double: bool,
    isa: Isa,
    op: Op,
    shape: Shape,
}

/// The sum of a kernel's own rows: one block, so that nearly all of the call is the kernel.
const LONG: usize = 512;

/// A way in a word, an operation, n, d and m, and words of the plan.
type Way = (&'static str, Op, (usize, usize, usize), &'static str);

/// What makes the plan go each way on the assumed caches, with f32 or f64 elements, and how its words say so.
const WAYS: [Way; 18] = [
    ("small", Op::Forward, (16, 64, 10), "read where it is"),
    ("edges", Op::Forward, (37, 53, 41), "read where it is"),
    ("edges, W turned", Op::GradInput, (37, 53, 41), "transposed"),
    ("edges, A by columns", Op::GradParams, (37, 53, 41), "read where it is"),
    ("direct", Op::Forward, (64, 64, 64), "read where it is"),
    ("W turned", Op::GradInput, (64, 64, 64), "transposed"),
    ("one sweep, small", Op::Backward, (37, 53, 41), "one sweep"),
    ("one sweep", Op::Backward, (64, 128, 96), "one sweep"),
    ("A packed", Op::GradParams, (300, 200, 130), "left operand packed"),
    ("row after row", Op::GradParams, (1, 160, 160), "row after row"),
    ("short sums", Op::GradParams, (2, 160, 160), "read where it is"),
    ("B copied", Op::Forward, (288, 512, 300), "right operand copied"),
    ("two blocks of the sum", Op::Forward, (24, 700, 72), "read where it is"),
    ("W in its own order", Op::Forward, (2, 600, 300), "from end to end"),
    ("W in its own order, one row", Op::Forward, (1, 600, 300), "from end to end"),
    ("few rows, W in its own order", Op::Forward, (4, 40, 1024), "from end to end"),
    ("few rows, W turned", Op::GradInput, (4, 256, 256), "turned into L1"),
    ("fewer rows, W turned on the way", Op::GradInput, (2, 256, 256), "turned in registers"),
];

/// All rows, in the order of the file.
pub fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    for kernel in registry().filter(|kernel| kernel.isa == Isa::Avx2) {
        let double = kernel.element == "f64";
        for (m, edge) in [(kernel.nr, false), (kernel.nr - kernel.lanes / 2, true)] {
            let by_rows = (Op::Forward, Shape { n: kernel.mr, d: LONG, m });
            let by_columns = (Op::GradParams, Shape { n: LONG, d: kernel.mr, m });
            for ((op, shape), columns) in [(by_rows, false), (by_columns, true)] {
                let way = match (columns, edge) {
                    (false, false) => "A by rows",
                    (false, true) => "A by rows, edge",
                    (true, false) => "A by columns",
                    (true, true) => "A by columns, edge",
                };
                rows.push(row(Isa::Avx2, double, kernel.to_string(), way, op, shape));
            }
        }
    }
    for (double, (way, op, (n, d, m), _)) in
        [false, true].into_iter().flat_map(|double| WAYS.map(|way| (double, way)))
    {
        rows.push(row(Isa::Avx2, double, main(Isa::Avx2, double), way, op, Shape { n, d, m }));
    }
    for (double, op) in [false, true]
        .into_iter()
        .flat_map(|double| [Op::Forward, Op::GradInput, Op::GradParams, Op::Backward].map(|op| (double, op)))
    {
        let shape = Shape { n: 17, d: 33, m: 35 };
        rows.push(row(Isa::Portable, double, main(Isa::Portable, double), "portable", op, shape));
    }
    rows
}

fn main(isa: Isa, double: bool) -> String {
    let kernel = if double { main_kernel::<f64>(isa).0 } else { main_kernel::<f32>(isa).0 };
    kernel.to_string()
}

fn row(isa: Isa, double: bool, kernel: String, way: &'static str, op: Op, shape: Shape) -> Row {
    let element = if double { "f64" } else { "f32" };
    let name = format!("{}/{element}/{}/{isa}", op_name(op), argument(shape));
    Row { name, kernel, way, double, isa, op, shape }
}

/// An engine whose plans do not depend on the machine.
fn engine<E: Supported>(isa: Isa) -> Result<Engine<'static>, Failure> {
    Ok(Engine::with_isa(isa)?.with_blocking(Blocking::for_caches(Caches::DEFAULT, isa, E::BYTES)))
}

impl Row {
    /// Makes the call twice, first to make the scratch memory, and then counted with so many instructions more.
    ///
    /// # Errors
    /// An instruction set that this machine lacks.
    pub fn call(&self, more: u64) -> Result<(), Failure> {
        if self.double { self.call_of::<f64>(more) } else { self.call_of::<f32>(more) }
    }

    fn call_of<E: Supported>(&self, more: u64) -> Result<(), Failure> {
        let mut engine = engine::<E>(self.isa)?;
        let given = Operands::<E>::random(self.shape, 1);
        let mut out = Results::before(self.op, &given);
        perform(self.op, &mut engine, &given, &mut out)?;
        let mut done = Ok(());
        counted_call(&mut || {
            done = perform(self.op, &mut engine, &given, &mut out);
            if more > 0 {
                idle(more);
            }
        });
        Ok(done?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kernel_has_rows_and_every_row_a_name() {
        let rows = all();
        let names: BTreeSet<_> = rows.iter().map(|row| &row.name).collect();
        assert_eq!(names.len(), rows.len());
        for kernel in registry().filter(|kernel| kernel.isa == Isa::Avx2) {
            assert!(rows.iter().filter(|row| row.kernel == kernel.to_string()).count() >= 4, "{kernel}");
        }
    }

    /// Each way is what its name says, on the assumed caches.
    #[test]
    fn the_plan_goes_each_way() {
        for (way, op, (n, d, m), words) in WAYS {
            let Ok(engine) = Engine::with_isa(Isa::Avx2) else { return };
            let plan = |blocking, double| {
                let engine = Engine::with_isa(engine.isa()).expect("available").with_blocking(blocking);
                if double { engine.plan::<f64>(op, n, d, m) } else { engine.plan::<f32>(op, n, d, m) }
                    .to_string()
            };
            for double in [false, true] {
                let bytes = if double { 8 } else { 4 };
                let plan = plan(Blocking::for_caches(Caches::DEFAULT, Isa::Avx2, bytes), double);
                assert!(plan.contains(words), "{way}: {plan}");
            }
        }
    }

    #[test]
    fn a_call_is_made() {
        let row = row(
            Isa::Portable,
            false,
            main(Isa::Portable, false),
            "portable",
            Op::Backward,
            Shape { n: 3, d: 4, m: 5 },
        );
        row.call(0).expect("available everywhere");
        assert_eq!(row.name, "backward/f32/3x4x5/portable");
    }
}
