//! The public type: an instruction set, scratch memory, a number of threads.

use trine_core::{
    Activation, Backward, Element, Error, Forward, Gradients, LinearKernels, MatMut, MatRef, Shape, Step,
    Task, Write, linear,
};

use crate::backward::{Sweep, need, sweep};
use crate::describe::Plan;
use crate::dispatch::{Dispatch, Job, Token};
use crate::executor::{Executor, Team};

use crate::isa::{Isa, Kernels};
use crate::pack::Source;
use crate::plan::{Blocking, Caches};
use crate::problem::{Problem, Target};
use crate::product::product;
use crate::raw;
use crate::scratch::{Line, Op, Scratch};
use crate::tuning::Tuning;

/// Computes layers on one instruction set. Owns or borrows its scratch memory and nothing else.
///
/// Results do not depend on the engine: neither on its instruction set (among those of one
/// rounding), nor on its threads, nor on its blocking.
#[derive(Debug)]
pub struct Engine<'s> {
    token: Token,
    threads: Threads<'s>,
    /// For elements of 4 and of 8 bytes.
    blocking: [Blocking; 2],
    scratch: Scratch<'s>,
}

#[cfg(feature = "std")]
impl Engine<'static> {
    /// The best instruction set of this machine, one thread, scratch memory of its own: made at the
    /// first call, grown when a larger layer comes.
    pub fn new() -> Self {
        Self::owned(Token::detect(Isa::best()).unwrap_or_else(|| unreachable!("the best was detected")))
    }

    /// The same with a given instruction set.
    ///
    /// # Errors
    /// [`Error::Isa`] if this machine does not have it.
    pub fn with_isa(isa: Isa) -> Result<Self, Error> {
        Ok(Self::owned(Token::require(isa)?))
    }

    /// The instruction set that the environment variable `TRINE_ISA` names, else the best.
    ///
    /// # Errors
    /// [`Error::Value`] if there is no such name, [`Error::Isa`] if this machine does not have it.
    pub fn from_env() -> Result<Self, Error> {
        match std::env::var_os("TRINE_ISA") {
            Some(name) => Self::with_isa(name.to_str().unwrap_or_default().parse()?),
            None => Ok(Self::new()),
        }
    }

    fn owned(token: Token) -> Self {
        Self::assemble(token, crate::caches::detect(), Scratch::Owned(std::vec::Vec::new()))
    }
}

#[cfg(feature = "std")]
impl Default for Engine<'static> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'s> Engine<'s> {
    /// An engine on the caller's memory; [`scratch_len`](crate::scratch_len) says how much a layer needs.
    ///
    /// # Errors
    /// [`Error::Isa`] if this machine does not have the instruction set. A call whose layer needs
    /// more memory is refused with [`Error::Scratch`].
    pub fn with_scratch(isa: Isa, scratch: &'s mut [Line]) -> Result<Self, Error> {
        Ok(Self::with_token(Token::require(isa)?, scratch))
    }

    /// The same for an instruction set of which the caller has the proof.
    pub fn with_token(token: Token, scratch: &'s mut [Line]) -> Self {
        Self::assemble(token, Caches::DEFAULT, Scratch::Borrowed(scratch))
    }

    fn assemble(token: Token, caches: Caches, scratch: Scratch<'s>) -> Self {
        let blocking = [4, 8].map(|bytes| Blocking::for_caches(caches, token.isa(), bytes));
        Engine { token, threads: Threads::Alone, blocking, scratch }
    }

    /// The same engine with at most this many threads, the caller's own and others that live as long as the
    /// engine ([`Pool`](crate::Pool), which has [an upper limit](crate::Pool::MOST_THREADS)). Small layers use fewer.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = match threads {
            0 | 1 => Threads::Alone,
            _ => Threads::Own(crate::Pool::new(threads)),
        };
        self
    }

    /// The same engine on the threads of an executor, which several engines may share.
    #[cfg(feature = "threads")]
    #[must_use]
    pub fn with_executor<'e>(self, executor: &'e dyn Executor) -> Engine<'e>
    where
        's: 'e,
    {
        Engine { threads: Threads::Lent(executor), ..self }
    }

    /// The same engine with other blocks: for tests, and for who has measured better ones.
    #[must_use]
    pub fn with_blocking(mut self, blocking: Blocking) -> Self {
        self.blocking = [blocking.within_bounds(); 2];
        self
    }

    /// The same engine with what `trine tune` has found on this machine. Needs more scratch memory than
    /// [`scratch_len`](crate::scratch_len) says if it has larger blocks.
    ///
    /// # Errors
    /// [`Error::Value`] if it was found for another instruction set.
    pub fn with_tuning(mut self, tuning: &Tuning) -> Result<Self, Error> {
        if tuning.isa() != self.isa() {
            let expected = "for the instruction set of the engine";
            return Err(Error::Value { operand: "the tuning", expected });
        }
        self.blocking = [tuning.apply(4, self.blocking[0]), tuning.apply(8, self.blocking[1])];
        Ok(self)
    }

    /// Its instruction set.
    pub fn isa(&self) -> Isa {
        self.token.isa()
    }

    /// The most threads it uses.
    pub fn threads(&self) -> usize {
        self.threads.team().threads
    }

    /// The blocks it works with.
    pub fn blocking<E: Element>(&self) -> Blocking {
        self.blocking[usize::from(E::BYTES > 4)]
    }

    /// How it computes `op` on an n×d×m layer with row-major operands.
    pub fn plan<E: Element>(&self, op: Op, n: usize, d: usize, m: usize) -> Plan {
        Plan::new::<E>(self.isa(), op, Shape { n, d, m }, self.threads(), self.blocking::<E>())
    }

    /// `C = A·B`, checked and dispatched once and then computed `times` times. As many calls of
    /// [`matmul`](LinearKernels::matmul) have the same result; what they take longer is the cost of a call.
    ///
    /// # Errors
    /// Those of `matmul`.
    pub fn matmul_repeatedly<E: Supported>(
        &mut self,
        c: MatMut<'_, E>,
        a: MatRef<'_, E>,
        b: MatRef<'_, E>,
        times: u64,
    ) -> Result<(), Error> {
        let shape = linear::check_matmul(c.layout(), a.layout(), b.layout())?;
        let sides = (shape.n, shape.m, shape.d);
        let problem = Problem::new(sides, source(a), source(b), target(c), Write::REPLACE);
        let blocking = &self.blocking[usize::from(E::BYTES > 4)];
        let means = Means { blocking, threads: &self.threads, scratch: &mut self.scratch };
        E::repeat(self.token, &problem, times, means)
    }

    /// Does the work on the unit.
    ///
    /// # Safety
    /// The operands are as `raw` says.
    #[inline(always)]
    pub(crate) unsafe fn execute<E: Supported>(&mut self, work: Work<'_, E>) -> Result<(), Error> {
        let blocking = &self.blocking[usize::from(E::BYTES > 4)];
        let means = Means { blocking, threads: &self.threads, scratch: &mut self.scratch };
        E::compute(self.token, work, means)
    }
}

/// Whose threads an engine works on.
#[derive(Debug)]
enum Threads<'s> {
    Alone,
    /// Also what the lifetime is for where nobody lends any.
    #[cfg_attr(not(feature = "threads"), expect(dead_code, reason = "nobody lends any"))]
    Lent(&'s dyn Executor),
    #[cfg(feature = "std")]
    Own(crate::Pool),
}

impl Threads<'_> {
    #[inline(always)]
    fn team(&self) -> Team<'_> {
        let executor: &dyn Executor = match self {
            Threads::Alone => return Team { threads: 1, work: 0, executor: None },
            Threads::Lent(executor) => *executor,
            #[cfg(feature = "std")]
            Threads::Own(pool) => pool,
        };
        Team { threads: executor.threads().max(1), work: 0, executor: Some(executor) }
    }
}

/// Work that still lacks its unit.
#[derive(Clone, Copy, Debug)]
pub enum Work<'w, E> {
    Product(&'w Problem<E>),
    Sweep(&'w Sweep<E>),
    /// ∇X, then the update of W and b.
    Step(Option<&'w Sweep<E>>, &'w Sweep<E>),
}

/// What work is done with.
#[derive(Debug)]
pub struct Means<'e, 's> {
    blocking: &'e Blocking,
    threads: &'e Threads<'s>,
    scratch: &'e mut Scratch<'s>,
}

struct Bound<'w, 'e, 's, E>(Work<'w, E>, Means<'e, 's>);

impl<E: Element> Job<E> for Bound<'_, '_, '_, E> {
    type Output = Result<(), Error>;
    #[inline(always)]
    fn run<V: Kernels<E>>(self, v: V) -> Result<(), Error> {
        let Bound(work, Means { blocking, threads, scratch }) = self;
        let team = threads.team();
        // SAFETY: who made the work says so (`execute`); a step's gradient is complete before the weights it
        // reads are updated.
        unsafe {
            match work {
                Work::Product(problem) => product(v, problem, blocking, team, scratch),
                Work::Sweep(s) => sweep(v, s, blocking, &team, scratch),
                Work::Step(gradient, update) => {
                    // Scratch memory for both, or nothing is written.
                    let first = gradient.map_or(0, |s| need(v, s, blocking, team.threads));
                    scratch.get::<E>(first.max(need(v, update, blocking, team.threads)))?;
                    if let Some(gradient) = gradient {
                        sweep(v, gradient, blocking, &team, scratch)?;
                    }
                    sweep(v, update, blocking, &team, scratch)
                }
            }
        }
    }
}

/// The same product so many times.
struct Again<'w, 'e, 's, E>(&'w Problem<E>, u64, Means<'e, 's>);

impl<E: Element> Job<E> for Again<'_, '_, '_, E> {
    type Output = Result<(), Error>;
    fn run<V: Kernels<E>>(self, v: V) -> Result<(), Error> {
        let Again(problem, times, Means { blocking, threads, scratch }) = self;
        // SAFETY: made in this file from views that fit each other.
        (0..times).try_for_each(|_| unsafe { product(v, problem, blocking, threads.team(), scratch) })
    }
}

/// An element type with kernels: `f32`, and with the feature of its name `f64`. They are compiled with this crate, once, and not
/// again with every crate that calls an engine.
pub trait Supported: Dispatch {
    /// Does the work on the unit of the token.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "hidden, and called in this file only")]
    fn compute(token: Token, work: Work<'_, Self>, means: Means<'_, '_>) -> Result<(), Error>;

    /// Does one product so many times on the unit of the token.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "hidden, and called in this file only")]
    fn repeat(token: Token, problem: &Problem<Self>, times: u64, means: Means<'_, '_>) -> Result<(), Error>;
}

macro_rules! supported {
    ($($e:ident)*) => {
        $(impl Supported for $e {
            #[allow(private_interfaces, reason = "hidden, and called in this file only")]
            fn compute(token: Token, work: Work<'_, $e>, means: Means<'_, '_>) -> Result<(), Error> {
                <$e as Dispatch>::run(token, Bound(work, means))
            }

            #[allow(private_interfaces, reason = "hidden, and called in this file only")]
            fn repeat(token: Token, problem: &Problem<$e>, times: u64, means: Means<'_, '_>) -> Result<(), Error> {
                <$e as Dispatch>::run(token, Again(problem, times, means))
            }
        })*
    };
}

supported!(f32);
#[cfg(feature = "f64")]
supported!(f64);

fn source<E: Element>(view: MatRef<'_, E>) -> Source<E> {
    Source { ptr: view.as_slice().as_ptr(), row: view.row_stride(), col: view.col_stride() }
}

fn target<E: Element>(mut view: MatMut<'_, E>) -> Target<E> {
    Target { row: view.row_stride(), col: view.col_stride(), ptr: view.as_mut_slice().as_mut_ptr() }
}

impl<E: Supported> LinearKernels<E> for Engine<'_> {
    fn forward_with(&mut self, forward: Forward<'_, E>) -> Result<(), Error> {
        let shape = forward.check()?;
        let Forward { x, w, bias, activation, y, z } = forward;
        let bias = bias.map(<[E]>::as_ptr);
        let (x, w, y, z) = (source(x), source(w), target(y), z.map(target));
        // SAFETY: views that fit each other, the written ones exclusive.
        unsafe { self.forward_raw(raw::Forward { shape, x, w, bias, activation, y, z }) }
    }

    fn matmul(
        &mut self,
        c: MatMut<'_, E>,
        a: MatRef<'_, E>,
        b: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        let shape = linear::check_matmul(c.layout(), a.layout(), b.layout())?;
        // SAFETY: views that fit each other, the written one exclusive.
        unsafe { self.matmul_raw(shape, target(c), source(a), source(b), write) }
    }

    fn grad_params(
        &mut self,
        dw: MatMut<'_, E>,
        db: Option<&mut [E]>,
        x: MatRef<'_, E>,
        dz: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        let lengths = db.as_ref().map(|db| db.len());
        let shape = linear::check_grad_params(dw.layout(), lengths, x.layout(), dz.layout())?;
        let (x, dz) = (source(x), source(dz));
        let work = raw::Backward {
            shape,
            x,
            w: x,
            dy: dz,
            activation: Activation::Identity,
            saved: dz,
            dx: None,
            dx_write: write,
            dw: Some(target(dw)),
            db: db.map(<[E]>::as_mut_ptr),
            params_write: write,
        };
        // SAFETY: views that fit each other, the written ones exclusive; W is not read without ∇X.
        unsafe { self.backward_raw(&work) }
    }

    fn backward(&mut self, given: Backward<'_, E>, wanted: Gradients<'_, E>) -> Result<(), Error> {
        let shape = given.check(&wanted)?;
        let dy = source(given.dy);
        let work = raw::Backward {
            shape,
            x: source(given.x),
            w: source(given.w),
            dy,
            activation: given.activation,
            saved: given.saved.map_or(dy, source),
            dx: wanted.dx.map(target),
            dx_write: wanted.dx_write,
            dw: wanted.dw.map(target),
            db: wanted.db.map(<[E]>::as_mut_ptr),
            params_write: wanted.params_write,
        };
        // SAFETY: views that fit each other, the written ones exclusive.
        unsafe { self.backward_raw(&work) }
    }

    fn backward_step(&mut self, step: Step<'_, E>) -> Result<(), Error> {
        let shape = step.check()?;
        let Step { x, w, bias, dy, activation, saved, dx, lr } = step;
        let (w, dy) = (target(w), source(dy));
        let work = raw::Backward {
            shape,
            x: source(x),
            w: w.source(),
            dy,
            activation,
            saved: saved.map_or(dy, source),
            dx: dx.map(target),
            dx_write: Write::REPLACE,
            dw: Some(w),
            db: bias.map(<[E]>::as_mut_ptr),
            params_write: Write::ADD,
        };
        // SAFETY: views that fit each other, the written ones exclusive.
        unsafe { self.step_raw(&work, lr) }
    }

    fn run<T: Task<E>>(&mut self, task: T) -> T::Output {
        struct Pointwise<T>(T);
        impl<E: Element, T: Task<E>> Job<E> for Pointwise<T> {
            type Output = T::Output;
            #[inline(always)]
            fn run<V: Kernels<E>>(self, v: V) -> T::Output {
                v.vectorize(
                    #[inline(always)]
                    || self.0.run(v),
                )
            }
        }
        E::run(self.token, Pointwise(task))
    }
}
