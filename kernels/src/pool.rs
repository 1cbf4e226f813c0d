//! A small pool of threads that spin for a moment before they sleep: a product of some microseconds
//! is over before a sleeping thread has woken up.
//!
//! ```text
//!     caller    job, tickets = members − 1 →  works  → tickets = 0, waits for those that were taken
//!     worker    spins, sleeps …  takes a ticket  → works → done += 1
//! ```
//!
//! A ticket that nobody has taken when the caller is through with the work is withdrawn: a worker that
//! wakes up late is not waited for.
//!
//! A process that is forked has a copy of the pool, and none of its workers: nobody takes a ticket there, so the
//! caller works alone. Only what a worker may have held when it ceased to be, and its end, must not be waited for.

use std::boxed::Box;
use std::cell::UnsafeCell;
use std::fmt;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle, yield_now};
use std::time::{Duration, Instant};
use std::vec::Vec;

use crate::executor::Executor;

/// A few threads of its own, which share the work of one caller at a time; a second caller meanwhile
/// works alone. They end with the pool.
pub struct Pool {
    shared: Arc<State>,
    workers: Vec<JoinHandle<()>>,
}

/// A member's work, for as long as its caller waits.
type Job = *const (dyn Fn() + Sync);

struct State {
    /// Whether a caller has the pool.
    busy: AtomicBool,
    /// What there is to do. Written by the caller that has the pool while there are no tickets.
    job: UnsafeCell<Option<Job>>,
    /// When a call was last too small to wake anybody for. Only touched by the caller that has the pool.
    missed: UnsafeCell<Option<Instant>>,
    /// Tickets not taken, in the lower half; in the upper the number of the call they are for.
    tickets: AtomicU64,
    /// Tickets whose work is done.
    done: AtomicUsize,
    /// What the first of the workers that panicked said.
    panic: Mutex<Option<Box<dyn std::any::Any + Send>>>,
    /// Workers that sleep, or are about to.
    asleep: AtomicUsize,
    bed: Mutex<()>,
    morning: Condvar,
    ended: AtomicBool,
    spin: Duration,
    /// The process that has the workers; 0 until one is made, as where there are no processes.
    process: AtomicU32,
}

// SAFETY: the job is written by one caller at a time (`busy`) while no worker has a ticket for it, and
// read by workers that have one; the pointer is to something `Sync` that lives until all of them are done.
unsafe impl Sync for State {}
// SAFETY: as above.
unsafe impl Send for State {}

const TICKETS: u64 = 0xffff_ffff;

/// Looks for a ticket between two looks at the clock.
const SPINS: usize = 128;

/// Multiply-adds that take longer than the system takes to wake a thread.
const WORTH_WAKING: usize = 1 << 22;

impl Pool {
    /// How long a worker spins before it sleeps: longer than what lies between the products of a layer.
    pub const SPIN: Duration = Duration::from_micros(100);

    /// Threads of a pool at most, whatever is asked for: more than any machine has cores.
    pub const MOST_THREADS: usize = 1024;

    /// At most this many threads, the caller's own among them; fewer if the system gives no more, or if it is
    /// more than [`MOST_THREADS`](Self::MOST_THREADS).
    pub fn new(threads: usize) -> Self {
        Self::with_spin(threads, Self::SPIN)
    }

    /// The same with another time of spinning; with none workers sleep at once.
    pub fn with_spin(threads: usize, spin: Duration) -> Self {
        let shared = Arc::new(State {
            busy: AtomicBool::new(false),
            job: UnsafeCell::new(None),
            missed: UnsafeCell::new(None),
            tickets: AtomicU64::new(0),
            done: AtomicUsize::new(0),
            panic: Mutex::new(None),
            asleep: AtomicUsize::new(0),
            bed: Mutex::new(()),
            morning: Condvar::new(),
            ended: AtomicBool::new(false),
            spin,
            process: AtomicU32::new(0),
        });
        let worker = || {
            let shared = Arc::clone(&shared);
            Builder::new().name("trine".into()).spawn(move || shared.work())
        };
        let workers: Vec<_> = (1..threads.min(Self::MOST_THREADS)).map_while(|_| worker().ok()).collect();
        if !workers.is_empty() {
            shared.process.store(std::process::id(), Ordering::Relaxed);
        }
        Pool { shared, workers }
    }
}

impl State {
    /// What a worker does, all its life.
    fn work(&self) {
        while self.wait() {
            // SAFETY: a ticket is taken, so the caller has written the job and waits.
            let job = unsafe { (*self.job.get()).map(|job| &*job) };
            if let Some(Err(panic)) = job.map(|job| catch_unwind(AssertUnwindSafe(job))) {
                let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(panic);
            }
            self.done.fetch_add(1, Ordering::Release);
        }
    }

    /// Waits for a ticket and takes it; `false` at the end.
    fn wait(&self) -> bool {
        loop {
            let start = Instant::now();
            loop {
                for _ in 0..SPINS {
                    if self.take() {
                        return true;
                    }
                    spin_loop();
                }
                if self.ended.load(Ordering::Relaxed) {
                    return false;
                }
                if start.elapsed() >= self.spin {
                    break;
                }
                // The caller itself may be waiting for this core.
                yield_now();
            }
            self.sleep();
        }
    }

    fn take(&self) -> bool {
        let tickets = self.tickets.load(Ordering::Relaxed);
        tickets & TICKETS > 0
            && self
                .tickets
                .compare_exchange(tickets, tickets - 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    /// Until there may be a ticket.
    fn sleep(&self) {
        let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.fetch_add(1, Ordering::SeqCst);
        // Whoever makes tickets after this look sees that someone is asleep. Once awake a worker spins again,
        // even if it comes too late: the next call is near.
        if self.tickets.load(Ordering::SeqCst) & TICKETS == 0 && !self.ended.load(Ordering::SeqCst) {
            bed = self.morning.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
        drop(bed);
        self.asleep.fetch_sub(1, Ordering::SeqCst);
    }

    /// Wakes so many of those that sleep, if that pays: for much work, or for the second of two calls that
    /// follow each other quickly. The system takes longer to wake a thread than a small product takes.
    ///
    /// # Safety
    /// The caller has the pool.
    unsafe fn wake(&self, number: usize, work: usize) {
        let asleep = self.asleep.load(Ordering::SeqCst);
        if asleep == 0 || self.is_forked() {
            return;
        }
        if work < WORTH_WAKING {
            let now = Instant::now();
            // SAFETY: as the caller says.
            let missed = unsafe { (*self.missed.get()).replace(now) };
            if missed.is_none_or(|before| now - before >= self.spin) {
                return;
            }
        }
        drop(self.bed.lock().unwrap_or_else(PoisonError::into_inner));
        for _ in 0..number.min(asleep) {
            self.morning.notify_one();
        }
    }

    /// Whether this is another process than that of the workers. Asks the system, so it is only called where that
    /// is little.
    fn is_forked(&self) -> bool {
        self.process.load(Ordering::Relaxed) != std::process::id()
    }

    /// No more tickets; returns when those that were taken are done.
    fn finish(&self, call: u64, given: usize) {
        let left = self.tickets.swap(call << 32, Ordering::Relaxed) & TICKETS;
        let taken = given - left as usize;
        let mut spins = 0;
        while self.done.load(Ordering::Acquire) < taken {
            // A worker that has lost its core to somebody else may need this one.
            spins += 1;
            if spins % 4096 == 0 { yield_now() } else { spin_loop() }
        }
    }
}

/// Ends a call, even if the caller's own part panics: no worker may be left with its job.
struct Call<'p> {
    state: &'p State,
    number: u64,
    given: usize,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.state.finish(self.number, self.given);
        if std::thread::panicking() {
            // One panic is enough: the next caller must not hear of a worker's.
            drop(self.state.panic.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        self.state.busy.store(false, Ordering::Release);
    }
}

impl Executor for Pool {
    fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    fn run(&self, members: usize, work: usize, member: &(dyn Fn() + Sync)) {
        let state = &*self.shared;
        let given = members.saturating_sub(1).min(self.workers.len());
        if given == 0 || state.busy.swap(true, Ordering::Acquire) {
            return member();
        }
        let number = (state.tickets.load(Ordering::Relaxed) >> 32) + 1;
        // SAFETY: the caller has the pool, and there are no tickets. The lifetime is forgotten until
        // `finish`, which `Call` makes sure of, and which waits for all that have the job.
        unsafe {
            let job: *const (dyn Fn() + Sync + '_) = member;
            *state.job.get() = Some(core::mem::transmute::<*const (dyn Fn() + Sync + '_), Job>(job));
        }
        state.done.store(0, Ordering::Relaxed);
        state.tickets.store(number << 32 | given as u64, Ordering::SeqCst);
        let call = Call { state, number, given };
        // SAFETY: `busy` is this caller's.
        unsafe { state.wake(given, work) };
        member();
        drop(call);
        let panic = state.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.workers.is_empty() {
            return;
        }
        if self.shared.is_forked() {
            // Nobody is there to be joined, or will be: not even detached.
            return self.workers.drain(..).for_each(core::mem::forget);
        }
        self.shared.ended.store(true, Ordering::SeqCst);
        drop(self.shared.bed.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.morning.notify_all();
        for worker in self.workers.drain(..) {
            // What a worker has to say it has said to the caller.
            let _ = worker.join();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).field("spin", &self.shared.spin).finish()
    }
}
