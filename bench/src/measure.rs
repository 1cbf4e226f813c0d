//! Measuring time: contenders take turns, so that whatever disturbs the machine disturbs all of
//! them alike, and every call is repeated until a clock can see it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::Failure;

/// The shortest stretch of time that is measured as one sample.
const SAMPLE: Duration = Duration::from_millis(1);

/// A call that is shorter is made once before each sample, without a clock: the others have had
/// the caches meanwhile. Of a longer one that would not be seen.
const COLD: Duration = Duration::from_millis(20);

/// What the calls of a sample take together, if they are short and their data is cold.
const COLD_SAMPLE: Duration = Duration::from_micros(200);

/// One that takes part: a name, and a function that works for a moment and returns the seconds
/// that one call took.
pub struct Contender<'a> {
    /// As in reports.
    pub name: String,
    sample: Box<dyn FnMut() -> Result<f64, Failure> + 'a>,
}

impl<'a> Contender<'a> {
    /// Times `call`, repeated until a sample lasts a millisecond. Calls it some times at once, to
    /// warm up and to find out how often that is.
    pub fn timed(name: &str, mut call: impl FnMut() + 'a) -> Self {
        let mut calls = 1u32;
        let cold = loop {
            let time = repeat(&mut call, calls);
            if time >= SAMPLE || calls >= 1 << 24 {
                break time < COLD;
            }
            // A first, cold call says little: grow at most eightfold at a time.
            let wanted = SAMPLE.as_secs_f64() / time.as_secs_f64().max(1e-9) * 1.1;
            calls = ((f64::from(calls) * wanted.clamp(1.5, 8.0)).ceil() as u32).min(1 << 24);
        };
        Self::sampled(name, move || {
            repeat(&mut call, u32::from(cold));
            Ok(repeat(&mut call, calls).as_secs_f64() / f64::from(calls))
        })
    }

    /// Times `call` on data that is not in the caches: `evict` takes it out before each call, without a
    /// clock. A sample is the mean of some calls, each timed alone, less what reading the clock costs.
    pub fn cold<S: 'a>(
        name: &str,
        mut data: S,
        evict: impl Fn(&S) + 'a,
        mut call: impl FnMut(&mut S) + 'a,
    ) -> Self {
        let clock = clock_cost();
        let mut once = move || {
            evict(&data);
            let start = Instant::now();
            call(&mut data);
            black_box(());
            start.elapsed().saturating_sub(clock)
        };
        once();
        Self::sampled(name, move || {
            let (start, mut time, mut calls) = (Instant::now(), Duration::ZERO, 0);
            while calls == 0 || (time < COLD_SAMPLE && start.elapsed() < SAMPLE) {
                time += once();
                calls += 1;
            }
            // A clock may be coarser than the call.
            Ok(time.as_secs_f64().max(1e-9) / f64::from(calls))
        })
    }

    /// One that measures by itself and returns seconds.
    pub fn sampled(name: &str, sample: impl FnMut() -> Result<f64, Failure> + 'a) -> Self {
        Contender { name: name.into(), sample: Box::new(sample) }
    }

    /// Works for a moment: seconds of one call.
    ///
    /// # Errors
    /// Why there is no answer; never of one that is [`timed`](Contender::timed).
    pub fn sample(&mut self) -> Result<f64, Failure> {
        (self.sample)()
    }
}

/// What it costs to ask for the time twice.
fn clock_cost() -> Duration {
    let mut costs: Vec<_> = (0..101).map(|_| Instant::now().elapsed()).collect();
    costs.sort_unstable();
    costs[costs.len() / 2]
}

fn repeat(call: &mut impl FnMut(), calls: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        call();
        black_box(());
    }
    start.elapsed()
}

/// Who had no answer, and why.
#[derive(Debug)]
pub struct Stopped {
    /// Which of the contenders.
    pub who: usize,
    /// Its reason.
    pub why: Failure,
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.why.fmt(f)
    }
}

impl std::error::Error for Stopped {}

/// Rounds in which each contender takes one sample, in the same order (A B C A B C …): `least`
/// rounds, and then as many as `budget` has time for. Who needs more than a tenth of the budget
/// for one sample takes part in the first rounds only. The samples of each contender, round by
/// round.
///
/// # Errors
/// The first of a contender.
pub fn interleave(
    contenders: &mut [Contender<'_>],
    budget: Duration,
    least: usize,
) -> Result<Vec<Vec<f64>>, Stopped> {
    let mut samples = vec![Vec::new(); contenders.len()];
    let mut longest = vec![Duration::ZERO; contenders.len()];
    let (mut rounds, mut since) = (0, Instant::now());
    while rounds < least || since.elapsed() < budget {
        for (i, contender) in contenders.iter_mut().enumerate() {
            if rounds < least || longest[i] < budget / 10 {
                let start = Instant::now();
                samples[i].push(contender.sample().map_err(|why| Stopped { who: i, why })?);
                longest[i] = longest[i].max(start.elapsed());
            }
        }
        rounds += 1;
        if rounds == least {
            if longest.iter().all(|&longest| longest >= budget / 10) {
                break;
            }
            since = Instant::now();
        }
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn contenders_take_turns() {
        let order = RefCell::new(Vec::new());
        let contender = |name: &'static str, time: f64| {
            let order = &order;
            Contender::sampled(name, move || {
                order.borrow_mut().push(name);
                Ok(time)
            })
        };
        let mut contenders = [contender("a", 1.0), contender("b", 2.0)];
        let samples = interleave(&mut contenders, Duration::ZERO, 3).expect("samples");
        assert_eq!(samples, [[1.0; 3], [2.0; 3]]);
        drop(contenders);
        assert_eq!(order.into_inner(), ["a", "b", "a", "b", "a", "b"]);
    }

    #[test]
    fn a_cold_sample_evicts_before_each_call() {
        let order = RefCell::new(Vec::new());
        let evict = |data: &u32| order.borrow_mut().push(("evict", *data));
        let call = |data: &mut u32| {
            std::thread::sleep(Duration::from_micros(150));
            order.borrow_mut().push(("call", *data));
        };
        let seconds = Contender::cold("a", 7, evict, call).sample().expect("a sample");
        assert!(seconds >= 100e-6, "{seconds}");
        let order = order.into_inner();
        // One call to warm up what is no data, then those of the sample.
        assert!(
            order.len() >= 4 && order.chunks(2).all(|pair| pair == [("evict", 7), ("call", 7)]),
            "{order:?}"
        );
    }

    #[test]
    fn one_that_fails_ends_the_measurement() {
        let mut contenders =
            [Contender::sampled("a", || Ok(1.0)), Contender::sampled("b", || Err("no answer".into()))];
        let error = interleave(&mut contenders, Duration::ZERO, 3).expect_err("b has no answer");
        assert_eq!(error.to_string(), "no answer");
    }

    #[test]
    fn a_sample_is_the_time_of_one_call() {
        let calls = RefCell::new(0u64);
        let mut contender = Contender::timed("sleep", || {
            *calls.borrow_mut() += 1;
            std::thread::sleep(Duration::from_micros(400));
        });
        let before = *calls.borrow();
        let seconds = contender.sample().expect("a sample");
        let during = *calls.borrow() - before;
        assert!(during >= 2 && seconds >= 400e-6, "{during} calls of {seconds} s");
    }
}
