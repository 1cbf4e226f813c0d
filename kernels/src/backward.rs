//! The backward pass as one sweep over ∇Y.
//!
//! ```text
//!     for each wave of rows of the batch (K_BLOCK for each thread):
//!         ∇Z  = ∇Y ⊙ act'           into scratch memory, where it stays in cache
//!         ∇X  = ∇Z·Wᵀ               rows of this wave
//!         ∇W += Xᵀ·∇Z, ∇b += 1ᵀ·∇Z  one block of the sum for every K_BLOCK rows
//! ```
//!
//! ∇Y is read from memory once, ∇Z is never written there. A block of rows is a block of the sums
//! over the batch, so the order of additions is the one that is defined.
//!
//! Threads share out the outputs of a wave. Where W is small and the batch long they share out the batch:
//! each takes a block of rows, with a ∇Z and sums of its own, and adds its sums to ∇W and ∇b when the
//! block before is done.

use core::cell::Cell;

use trine_core::{Activation, Element, Error, K_BLOCK, Shape, Write};

use crate::elementwise::{close, derive};
use crate::executor::{Team, useful_threads};
use crate::gemm::{gemm, gemm_need};
use crate::isa::Kernels;
use crate::pack::Source;
use crate::plan::{Blocking, Order, Tile, line};
use crate::problem::{Problem, Target};
use crate::product::Parts;
use crate::runs;
use crate::scratch::Scratch;
use crate::small;
use crate::sums::{self, column_sums};
use crate::threads::{Cuts, Part, Shared, fork, fork_in_order};
use crate::upcoming::{Upcoming, spread};

/// The operands of a backward pass, checked.
#[derive(Clone, Copy, Debug)]
pub struct Sweep<E> {
    /// The sides of the layer.
    pub shape: Shape,
    /// Input, n×d.
    pub x: Source<E>,
    /// Weights, d×m. Read for ∇X only.
    pub w: Source<E>,
    /// Gradient of the output, n×m.
    pub dy: Source<E>,
    /// The activation of the forward pass.
    pub activation: Activation,
    /// Y or Z; ∇Y itself where the activation needs neither.
    pub saved: Source<E>,
    /// ∇X, n×d.
    pub dx: Option<Target<E>>,
    /// How ∇X is written.
    pub dx_write: Write<E>,
    /// ∇W, d×m.
    pub dw: Option<Target<E>>,
    /// ∇b, m values.
    pub db: Option<*mut E>,
    /// How ∇W and ∇b are written.
    pub params_write: Write<E>,
}

impl<E> Sweep<E> {
    /// Whether no output has an element. A batch without columns may have rows without end.
    fn is_empty(&self) -> bool {
        let Shape { n, d, m } = self.shape;
        let dx = self.dx.is_none() || n == 0 || d == 0;
        dx && (self.dw.is_none() || d == 0 || m == 0) && (self.db.is_none() || m == 0)
    }

    /// Multiply-adds of each of its products.
    fn work(&self) -> usize {
        let Shape { n, d, m } = self.shape;
        n.saturating_mul(d).saturating_mul(m)
    }

    /// How many threads work on it, if there are so many.
    #[inline(always)]
    fn threads(&self, blocking: &Blocking, most: usize) -> usize {
        if most <= 1 { 1 } else { useful_threads(most, self.work(), blocking.thresholds.thread_work) }
    }
}

impl<E: Element> Sweep<E> {
    /// How ∇Z lies.
    #[inline(always)]
    fn dz(&self) -> Source<E> {
        let packed = Source { row: self.shape.m, col: 1, ..self.dy };
        if self.activation == Activation::Identity { self.dy } else { packed }
    }

    /// ∇X of some rows of the batch as a problem.
    #[inline(always)]
    fn dx_problem(&self, (r, rows): (usize, usize), dz: Source<E>, dx: Target<E>) -> Problem<E> {
        let Shape { n, d, m } = self.shape;
        let p = Problem::new((rows, d, m), dz, self.w.t(), dx.at(r, 0), self.dx_write);
        p.of_rows(n).beside(self.dw.is_some())
    }

    /// ∇W of some rows of the batch as a problem, in runs or not (see [`Problem::in_runs`]).
    #[inline(always)]
    fn dw_problem(
        &self,
        (r, rows): (usize, usize),
        dz: Source<E>,
        dw: Target<E>,
        write: Write<E>,
        in_runs: Option<usize>,
    ) -> Problem<E> {
        let Shape { d, m, .. } = self.shape;
        let mut p = Problem::new((d, m, rows), self.x.at(r, 0).t(), dz, dw, write);
        p.in_runs = in_runs;
        p.beside(self.dx.is_some())
    }
}

/// Computes what is asked for.
///
/// # Errors
/// [`Error::Scratch`]; nothing has been written then.
///
/// # Safety
/// The operands can be accessed as their shapes and strides say; no output overlaps another operand,
/// except `dw` the weights if `dx` is `None`.
pub unsafe fn sweep<V: Kernels<E>, E: Element>(
    v: V,
    s: &Sweep<E>,
    blocking: &Blocking,
    team: &Team<'_>,
    scratch: &mut Scratch<'_>,
) -> Result<(), Error> {
    if s.is_empty() {
        return Ok(());
    }
    let threads = s.threads(blocking, team.threads);
    if threads == 1
        && let Some(rooms) = small::Rooms::of::<V, E>(s, blocking)
    {
        // SAFETY: the contract is the same.
        return unsafe { small::sweep(v, s, blocking, rooms, scratch) };
    }
    let rooms = Rooms::new(v, s, blocking, threads);
    let room = scratch.get::<E>(rooms.total())?;
    let run = Run { v, s, blocking, rooms: &rooms, room };
    // SAFETY: the contract is the same, and the scratch memory is as `rooms` says.
    unsafe {
        if !cfg!(feature = "threads") || rooms.threads <= 1 {
            run.alone();
        } else if rooms.by_blocks {
            run.blocks(team.of(rooms.threads, s.work()));
        } else {
            run.waves(team.of(rooms.threads, s.work()));
        }
    }
    Ok(())
}

/// Elements of scratch memory that a sweep needs.
pub fn need<V: Kernels<E>, E: Element>(v: V, s: &Sweep<E>, blocking: &Blocking, threads: usize) -> usize {
    if s.is_empty() {
        return 0;
    }
    let threads = s.threads(blocking, threads);
    let small = if threads == 1 { small::Rooms::of::<V, E>(s, blocking) } else { None };
    small.map_or_else(|| Rooms::new(v, s, blocking, threads).total(), small::Rooms::total)
}

/// Bytes of ∇W up to which each thread may have one of its own: half of a small L2.
const OWN_SUMS: usize = 128 << 10;

/// Whether threads share out the batch, a block of rows at a time: if ∇W is small, there are blocks enough,
/// and the last ones leave few threads without.
pub const fn by_blocks(Shape { n, d, m }: Shape, bytes: usize, threads: usize) -> bool {
    if !cfg!(feature = "threads") || threads <= 1 {
        return false;
    }
    let rounds = n.div_ceil(K_BLOCK).div_ceil(threads);
    let places = rounds.saturating_mul(threads).saturating_mul(K_BLOCK);
    d.saturating_mul(m).saturating_mul(bytes) <= OWN_SUMS && n >= places - places / 8
}

/// ∇W itself, or as it lies where each thread has one.
#[inline(always)]
fn own_dw<E>(s: &Sweep<E>, dw: Target<E>, by_blocks: bool) -> Target<E> {
    if by_blocks { Target { row: s.shape.m, col: 1, ..dw } } else { dw }
}

/// Whether the operands of ∇W, whose size is right, lie right for runs as well.
#[inline(never)]
fn goes_in_runs<V: Kernels<E>, E: Element>(s: &Sweep<E>, by_blocks: bool) -> bool {
    s.dw.is_some_and(|dw| {
        let p = s.dw_problem((0, 1), s.dz(), own_dw(s, dw, by_blocks), s.params_write, Some(0));
        runs::fits(&p.oriented(), const { Tile::of(V::ISA, E::BYTES) })
    })
}

/// How a sweep is cut, and its parts of the scratch memory.
#[derive(Clone, Copy)]
struct Rooms {
    threads: usize,
    by_blocks: bool,
    /// Whether ∇W goes through runs of the batch.
    in_runs: bool,
    /// Rows of the batch at a time.
    rows: usize,
    /// Elements for ∇Z.
    dz: usize,
    /// Elements for the sums of a block, each thread's own.
    sums: usize,
    /// Elements for the products of each thread.
    each: usize,
}

impl Rooms {
    #[inline(always)]
    fn new<V: Kernels<E>, E: Element>(v: V, s: &Sweep<E>, blocking: &Blocking, threads: usize) -> Self {
        let Shape { n, d, m } = s.shape;
        let by_blocks = (s.dw.is_some() || s.db.is_some()) && by_blocks(s.shape, E::BYTES, threads);
        let rows = n.min(if by_blocks { K_BLOCK } else { threads.saturating_mul(K_BLOCK) });
        let dz = if s.activation == Activation::Identity { 0 } else { line(rows.saturating_mul(m)) };
        let sums = if by_blocks { line(d.saturating_mul(m).saturating_add(m)) } else { 0 };
        let in_runs = const { runs::is_for(V::ISA) }
            && runs::pays((d, m), n, V::ISA, E::BYTES, blocking)
            && goes_in_runs::<V, E>(s, by_blocks);
        let mut rooms = Rooms { threads, by_blocks, in_runs, rows, dz, sums, each: 0 };
        rooms.each = rooms.products(v, s, blocking);
        rooms
    }

    /// The scratch memory that the products of some rows need on one thread. Fewer rows need no more
    /// (see `gemm`).
    #[inline(always)]
    fn products<V: Kernels<E>, E: Element>(self, v: V, s: &Sweep<E>, blocking: &Blocking) -> usize {
        let dz = s.dz();
        let mut most = 0;
        if let Some(dx) = &s.dx {
            most = gemm_need(v, &s.dx_problem((0, self.rows), dz, *dx), blocking);
        }
        if let Some(dw) = &s.dw {
            let dw = own_dw(s, *dw, self.by_blocks);
            let p = s.dw_problem((0, self.rows), dz, dw, s.params_write, self.in_runs.then_some(0));
            most = most.max(gemm_need(v, &p, blocking));
        }
        most
    }

    fn total(&self) -> usize {
        let Rooms { threads, by_blocks, dz, sums, each, .. } = *self;
        if by_blocks {
            threads.saturating_mul(dz.saturating_add(sums).saturating_add(each))
        } else {
            threads.saturating_mul(each).saturating_add(dz)
        }
    }
}

/// One sweep.
#[derive(Clone, Copy)]
struct Run<'r, V, E> {
    v: V,
    s: &'r Sweep<E>,
    blocking: &'r Blocking,
    rooms: &'r Rooms,
    room: *mut E,
}

impl<V: Kernels<E>, E: Element> Run<'_, V, E> {
    /// One block of the batch after the other.
    unsafe fn alone(&self) {
        let Run { s, rooms, room, .. } = *self;
        let dz = Target { ptr: room, row: s.shape.m, col: 1 };
        let mut r = 0;
        loop {
            let rows = rooms.rows.min(s.shape.n - r);
            // SAFETY: all rows, block after block; without any, the outputs are touched all the same.
            unsafe {
                self.block((r, rows), r + rows, dz, (s.dw, s.db), self.write(r), room.wrapping_add(rooms.dz))
            };
            r += rows;
            if r >= s.shape.n {
                break;
            }
        }
    }

    /// How the sums of a block that begins at row `r` are written.
    fn write(&self, r: usize) -> Write<E> {
        let write = self.s.params_write;
        Write { add: write.add || r > 0, ..write }
    }

    /// A block of the batch on one thread: ∇Z, its rows of ∇X, and what it adds to ∇W and ∇b. `next` is the row that
    /// this thread's next block begins with.
    #[inline(always)]
    unsafe fn block(
        &self,
        (r, rows): (usize, usize),
        next: usize,
        to: Target<E>,
        (dw, db): (Option<Target<E>>, Option<*mut E>),
        write: Write<E>,
        products: *mut E,
    ) {
        let Run { v, s, blocking, rooms, .. } = *self;
        let Shape { d, m, .. } = s.shape;
        let scratch = (products, rooms.each);
        let mut dz = s.dy.at(r, 0);
        let upcoming = Upcoming::block::<V>(s, next, rooms.in_runs, blocking).map(Cell::new);
        let ahead = upcoming.as_ref();
        // SAFETY: rows of the batch that no other thread works on, outputs and scratch memory of this thread's own.
        unsafe {
            if s.activation != Activation::Identity {
                derivative(v, s, r, Part { rows: (0, rows), cols: (0, m) }, to);
                dz = to.source();
            }
            if let Some(dx) = s.dx {
                // The products take about as long as each other.
                spread::<V, E>(ahead, (rows, d, m), Order::Rows, 1 + usize::from(dw.is_some()));
                gemm(v, &s.dx_problem((r, rows), dz, dx), blocking, scratch, ahead);
            }
            if let Some(dw) = dw {
                let p = s.dw_problem(
                    (r, rows),
                    dz,
                    dw,
                    write,
                    rooms.in_runs.then_some(next.saturating_sub(r + rows)),
                );
                spread::<V, E>(ahead, (d, m, rows), Order::Columns, 1);
                gemm(v, &p, blocking, scratch, ahead);
            }
            if let Some(db) = db {
                column_sums(v, dz, (rows, m), db, write);
            }
        }
    }

    /// A wave of the batch after the other.
    unsafe fn waves(&self, team: Team<'_>) {
        let (n, rows) = (self.s.shape.n, self.rooms.rows);
        // SAFETY: all rows, wave after wave.
        unsafe {
            for r in (0..n).step_by(rows.max(1)) {
                self.wave(team, r, rows.min(n - r));
            }
            if n == 0 {
                // Sums over nothing: only the outputs are touched.
                self.wave(team, 0, 0);
            }
        }
    }

    /// `rows` rows of the batch from row `r` on, all threads at the same: first ∇Z, then the outputs.
    unsafe fn wave(&self, team: Team<'_>, r: usize, rows: usize) {
        let Run { v, s, blocking, rooms, room } = *self;
        let m = s.shape.m;
        let mut dz = s.dy.at(r, 0);
        if s.activation != Activation::Identity {
            let to = Target { ptr: room, row: m, col: 1 };
            let operands = Shared((s, to));
            fork(team, team.threads, |_, i| {
                let &(s, to) = operands.get();
                let part =
                    Cuts { size: (rows, m), unit: (1, V::LANES), weight: (1, 1) }.part(i, team.threads);
                // SAFETY: a part that no other thread writes.
                unsafe { derivative(v, s, r, part, to) };
            });
            dz = to.source();
        }
        let write = self.write(r);
        let dx = s.dx.map(|dx| Parts::new(s.dx_problem((r, rows), dz, dx).oriented(), team.threads));
        let dw = s.dw.map(|dw| {
            let p = s.dw_problem((r, rows), dz, dw, write, rooms.in_runs.then_some(0));
            Parts::new(p.oriented(), team.threads)
        });
        let dx_parts = dx.map_or(0, |dx| dx.number);
        let products = dx_parts + dw.map_or(0, |dw| dw.number);
        // ∇b in whole runs of vectors.
        let run = sums::WIDE * V::LANES;
        let db_parts = s.db.map_or(0, |_| team.threads.min(m.div_ceil(run)));
        let operands = Shared((dx, dw, s.db, dz, room.wrapping_add(rooms.dz)));
        fork(team, products + db_parts, |member, i| {
            let &(dx, dw, db, dz, room) = operands.get();
            let scratch = (room.wrapping_add(member * rooms.each), rooms.each);
            // SAFETY: a part of an output that no other thread writes, and scratch memory of this thread's own.
            unsafe {
                if let (Some(dx), true) = (dx, i < dx_parts) {
                    dx.run(v, i, blocking, scratch);
                } else if let (Some(dw), true) = (dw, i < products) {
                    dw.run(v, i - dx_parts, blocking, scratch);
                } else if let Some(db) = db {
                    let cuts = Cuts { size: (1, m), unit: (1, run), weight: (1, 1) };
                    let (from, to) = cuts.part(i - products, db_parts).cols;
                    column_sums(v, dz.at(0, from), (rows, to - from), db.wrapping_add(from), write);
                }
            }
        });
    }

    /// All of the batch, a block of rows for each thread at a time.
    unsafe fn blocks(&self, team: Team<'_>) {
        let Run { v, s, rooms, .. } = *self;
        let Shape { n, d, m } = s.shape;
        let operands = Shared(*self);
        let own = |member: usize, room: *mut E| {
            let dz = room.wrapping_add(member * (rooms.dz + rooms.sums + rooms.each));
            let sums = Target { ptr: dz.wrapping_add(rooms.dz), row: m, col: 1 };
            (Target { ptr: dz, row: m, col: 1 }, sums, sums.ptr.wrapping_add(rooms.sums))
        };
        let begin = |member, i: usize| {
            let run = operands.get();
            let (to, sums, products) = own(member, run.room);
            let (r, rows) = (i * K_BLOCK, K_BLOCK.min(n - i * K_BLOCK));
            let outputs = (run.s.dw.map(|_| sums), run.s.db.map(|_| sums.at(d, 0).ptr));
            // SAFETY: rows of the batch that no other thread works on, and scratch memory of this thread's own.
            unsafe {
                run.block((r, rows), r + run.rooms.threads * K_BLOCK, to, outputs, Write::REPLACE, products)
            };
        };
        let end = |member, i| {
            let run = operands.get();
            let (s, (_, sums, _), write) = (run.s, own(member, run.room), run.write(i));
            // SAFETY: only one thread is here at a time, and its sums are complete.
            unsafe {
                if let Some(dw) = s.dw {
                    close(v, sums.source(), dw, (d, m), write);
                }
                if let Some(db) = s.db {
                    let db = Target { ptr: db, row: m, col: 1 };
                    close(v, sums.at(d, 0).source(), db, (1, m), write);
                }
            }
        };
        fork_in_order(team, n.div_ceil(K_BLOCK), begin, end);
    }
}

/// ∇Z for a part of the rows from row `r` of the batch on.
unsafe fn derivative<V: Kernels<E>, E: Element>(v: V, s: &Sweep<E>, r: usize, part: Part, dz: Target<E>) {
    let Part { rows: (from, to), cols: (left, right) } = part;
    let sources = [s.dy, s.saved].map(|source| source.at(r + from, left));
    // SAFETY: the caller says that they can be read, and written.
    unsafe { derive(v, s.activation, sources, dz.at(from, left), to - from, right - left) };
}
