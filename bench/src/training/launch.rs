//! A training on threads: one for each worker.

use std::sync::Mutex;
use std::thread;

use super::session::{Event, Job, Outcome, run};
use crate::images::Data;
use crate::parallel::Error;
use crate::parallel::comm::Communicator;
use crate::parallel::threads::{Options, connect};

/// Runs all workers of a job; what each came to, in order of their ranks. `on_event` is told what
/// happens at the first.
pub fn on_threads(
    job: &Job,
    data: &Data,
    options: Options,
    on_event: impl FnMut(Event<'_>) + Send,
) -> Vec<Result<Outcome, Error>> {
    on_threads_with(job, data, options, |comm| comm, on_event)
}

/// The same with something between the worker and its end of the connections.
pub fn on_threads_with<C: Communicator>(
    job: &Job,
    data: &Data,
    options: Options,
    wrap: impl Fn(crate::parallel::threads::ThreadComm) -> C + Sync,
    on_event: impl FnMut(Event<'_>) + Send,
) -> Vec<Result<Outcome, Error>> {
    let on_event = Mutex::new(on_event);
    let (wrap, on_event) = (&wrap, &on_event);
    thread::scope(|scope| {
        let start = |comm: crate::parallel::threads::ThreadComm| {
            let first = comm.rank() == 0;
            let work = move || {
                run(job, data, wrap(comm), |event| {
                    if first && let Ok(mut on_event) = on_event.lock() {
                        on_event(event);
                    }
                })
            };
            scope.spawn(move || in_pool(job.threads, work))
        };
        let workers: Vec<_> = connect(job.plan.grid.workers(), options).into_iter().map(start).collect();
        let joined = |(rank, worker): (usize, thread::ScopedJoinHandle<'_, _>)| {
            worker.join().unwrap_or(Err(Error::Panicked { rank }))
        };
        workers.into_iter().enumerate().map(joined).collect()
    })
}

/// With threads of its own, if it has more than one.
fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    if threads == 1 {
        return work();
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|error| Error::Settings(error.to_string()))?.install(work)
}

/// What all workers came to, or why they could not: the cause, and then who else ended of it.
///
/// # Errors
/// The first error that is not about another worker being gone.
pub fn all(outcomes: Vec<Result<Outcome, Error>>) -> Result<Vec<Outcome>, Error> {
    let follows = |error: &Error| matches!(error, Error::Gone { .. } | Error::Timeout { .. });
    let errors = || outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    match errors().find(|error| !follows(error)).or_else(|| errors().next()) {
        Some(error) => Err(error.clone()),
        None => Ok(outcomes.into_iter().flatten().collect()),
    }
}
