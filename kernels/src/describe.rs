//! A plan in words.

use core::fmt;

use trine_core::{Element, K_BLOCK, Shape};

use crate::chunks;
use crate::executor::useful_threads;
use crate::isa::Isa;
use crate::narrow;
use crate::outer;
use crate::plan::{Access, Blocking, Loops, Order, Packing, Product, Tile};
use crate::runs;
use crate::scratch::{Op, elements};
use crate::slabs;
use crate::stream;
use crate::turned;

/// How an engine computes one operation on a layer with row-major operands. Its `Display` is
/// made to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    isa: Isa,
    element: &'static str,
    bytes: usize,
    op: Op,
    shape: Shape,
    threads: usize,
    blocking: Blocking,
}

impl Plan {
    pub(crate) fn new<E: Element>(
        isa: Isa,
        op: Op,
        shape: Shape,
        threads: usize,
        blocking: Blocking,
    ) -> Self {
        let multiply_adds = shape.n.saturating_mul(shape.d).saturating_mul(shape.m);
        let threads = useful_threads(threads, multiply_adds, blocking.thresholds.thread_work);
        Plan { isa, element: E::NAME, bytes: E::BYTES, op, shape, threads, blocking }
    }

    /// Bytes of scratch memory: the most for any strides, as [`scratch_len`](crate::scratch_len) says.
    pub fn scratch_bytes(&self) -> usize {
        elements(self.op, self.shape, self.isa, self.blocking, self.bytes, self.threads)
            .saturating_mul(self.bytes)
    }

    /// Threads that take part.
    pub fn threads(&self) -> usize {
        self.threads
    }

    fn tile(&self) -> Tile {
        Tile::of(self.isa, self.bytes)
    }

    /// Whether both products are computed in one sweep over the batch.
    fn sweeps(&self) -> bool {
        matches!(self.op, Op::Backward | Op::Step)
    }

    /// Whether ∇W goes in runs of the batch.
    fn goes_in_runs(&self) -> bool {
        let Shape { n, d, m } = self.shape;
        runs::are_tall(d, self.tile()) && runs::pays((d, m), n, self.isa, self.bytes, &self.blocking)
    }

    /// Name, formula and shape of each product.
    fn products(&self) -> impl Iterator<Item = (&'static str, Product)> {
        let Shape { n, d, m } = self.shape;
        let batch = n.min(K_BLOCK.saturating_mul(self.threads));
        let rows = if self.sweeps() { batch } else { n };
        let forward = Product { m: n, n: m, k: d, a: Order::Rows, b: Order::Rows, b_row: m };
        let dx = Product { m: rows, n: d, k: m, a: Order::Rows, b: Order::Columns, b_row: 1 };
        let dw = Product { m: d, n: m, k: rows, a: Order::Columns, b: Order::Rows, b_row: m };
        let all = [
            (self.op == Op::Forward, "Y = X·W", forward),
            (self.sweeps() || self.op == Op::GradInput, "∇X = ∇Z·Wᵀ", dx),
            (self.sweeps() || self.op == Op::GradParams, "∇W = Xᵀ·∇Z", dw),
        ];
        all.into_iter().filter(|&(wanted, ..)| wanted).map(|(_, name, product)| (name, product))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { n, d, m } = self.shape;
        let tile = self.tile();
        let (mr, nr) = (tile.mr, tile.nr());
        writeln!(
            f,
            "{:?} of a layer {n}×{d}×{m} (batch × in × out), {} on {}",
            self.op, self.element, self.isa
        )?;
        writeln!(
            f,
            "  microtile {} rows × {nr} columns: {} accumulators of {} lanes",
            mr,
            mr * tile.nrv,
            tile.lanes
        )?;
        writeln!(
            f,
            "  {} thread(s), at most {} bytes of scratch memory",
            self.threads,
            self.scratch_bytes()
        )?;
        if self.sweeps() {
            let rows = n.min(K_BLOCK.saturating_mul(self.threads));
            writeln!(
                f,
                "  one sweep over ∇Y, {rows} rows at a time: ∇Z stays in cache, {} KiB",
                rows.saturating_mul(m).saturating_mul(self.bytes) >> 10
            )?;
        }
        for (name, p) in self.products() {
            let loops = Loops::new(p, self.isa, self.blocking, self.bytes);
            writeln!(f, "  {name}: {}×{} outputs, sums over {}, closed every {K_BLOCK}", p.m, p.n, p.k)?;
            let shape = (p.m, p.n, p.k);
            // In a sweep W is read beside ∇W.
            let passing = p.m.saturating_mul(p.n).saturating_mul(if self.sweeps() { 2 } else { 1 });
            // A bias or an activation, and a B by columns, are left to the tiles.
            if self.op != Op::Forward
                && matches!(p.b, Order::Rows)
                && outer::pays(shape, passing, loops.tile.lanes, self.bytes, self.blocking.thresholds)
            {
                writeln!(f, "    row after row of the output: it costs more than the multiply-adds")?;
                continue;
            }
            let auto = self.blocking.packing != Packing::Always;
            if auto
                && p.m > 0
                && p.k > 0
                && p.m <= turned::most_rows(self.isa)
                && matches!(p.b, Order::Columns)
            {
                writeln!(
                    f,
                    "    right operand turned in registers on the way to the multiply-adds, never stored"
                )?;
                continue;
            }
            // A single column is the row of the other side.
            if auto
                && p.n > 1
                && matches!(p.b, Order::Rows)
                && narrow::pays(shape, p.a, self.isa, loops.tile.lanes)
            {
                writeln!(f, "    vectors along its {} rows, turned when the sums are complete", p.m)?;
                continue;
            }
            if matches!(p.b, Order::Columns) && chunks::pays(shape, self.isa, self.bytes, &self.blocking) {
                writeln!(f, "    right operand turned into L1, a chunk at a time for all rows")?;
                continue;
            }
            if self.op == Op::Forward && slabs::pays(shape, self.isa, self.bytes, &self.blocking) {
                writeln!(
                    f,
                    "    rows of the right operand from end to end into L2, a slab of them at a time"
                )?;
                continue;
            }
            if matches!(p.b, Order::Rows)
                && stream::pays(shape, p.b_row, self.isa, self.bytes, &self.blocking)
            {
                writeln!(f, "    rows of the right operand read from end to end, sums wait in L1")?;
                continue;
            }
            if p.a == Order::Columns && p.n > 1 && self.goes_in_runs() {
                let len = runs::run_length((p.m, p.n), loops.tile, self.bytes);
                writeln!(f, "    runs of {len} rows of the batch, sums wait from one to the next in L2")?;
                continue;
            }
            writeln!(
                f,
                "    {} strip(s) of columns, {} microtile(s) of rows in each",
                p.n.div_ceil(loops.tile.nr()),
                p.m.div_ceil(loops.tile.mr)
            )?;
            let from = |access, packed| match access {
                Access::Direct => "read where it is",
                Access::Copied => "copied by the first tiles that read it",
                Access::Packed => packed,
            };
            writeln!(f, "    left operand {}", from(loops.a, "packed into micropanels"))?;
            writeln!(f, "    right operand {}", from(loops.b, "transposed in registers into strips"))?;
            if !(loops.a.is_direct() && loops.b.is_direct()) {
                writeln!(
                    f,
                    "    blocks of {} rows, panels of {} columns",
                    loops.mc.min(p.m),
                    loops.nc.min(p.n)
                )?;
            }
        }
        Ok(())
    }
}
