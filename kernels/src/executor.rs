//! Threads that the caller lends an engine.

use core::fmt::Debug;

use crate::plan::{at_least, at_most};

/// Threads that an engine may work on, the caller's own among them.
///
/// The library shares out the work itself: each member takes what is left, part after part. So an
/// executor may call fewer members than asked for, if others have no time or are asleep, and nothing
/// is missed; a second call of the same member or one that comes late finds nothing to do.
pub trait Executor: Debug + Sync {
    /// The most threads that work at the same time.
    fn threads(&self) -> usize;

    /// Calls `member` once on the thread that asks and on up to `members - 1` others, at the same time.
    /// Returns when all calls that began have returned. `work` says how many multiply-adds they have to do
    /// together: few aren't worth waking a thread for.
    fn run(&self, members: usize, work: usize, member: &(dyn Fn() + Sync));
}

/// Threads of rayon's: the pool that an engine is called in, else the global one. A worker that sleeps
/// is woken for each call, which takes several microseconds.
#[cfg(feature = "rayon")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Rayon;

#[cfg(feature = "rayon")]
impl Executor for Rayon {
    fn threads(&self) -> usize {
        rayon::current_num_threads()
    }

    fn run(&self, members: usize, _work: usize, member: &(dyn Fn() + Sync)) {
        rayon::in_place_scope(|scope| {
            for _ in 1..members {
                scope.spawn(|_| member());
            }
            member();
        });
    }
}

/// How many of `threads` so many multiply-adds are worth, if each has to bring at least `each` of them.
pub(crate) const fn useful_threads(threads: usize, work: usize, each: usize) -> usize {
    // Without them nothing of threads is compiled.
    if cfg!(feature = "threads") { at_least(at_most(work / at_least(each, 1), threads), 1) } else { 1 }
}

/// Threads for one piece of work.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(all(feature = "threads", target_has_atomic = "ptr")), allow(dead_code, reason = "one core"))]
pub(crate) struct Team<'t> {
    /// The most.
    pub threads: usize,
    /// Multiply-adds.
    pub work: usize,
    pub executor: Option<&'t dyn Executor>,
}

impl Team<'_> {
    /// As many of them as so many multiply-adds are worth, if each has to bring at least `each`.
    #[inline(always)]
    pub fn for_work(self, work: usize, each: usize) -> Self {
        self.of(if self.threads > 1 { useful_threads(self.threads, work, each) } else { 1 }, work)
    }

    /// Some of them, for so many multiply-adds.
    #[inline(always)]
    pub fn of(self, threads: usize, work: usize) -> Self {
        Team { threads, work, ..self }
    }
}
