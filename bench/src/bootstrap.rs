//! How sure a median is: the bootstrap interval (B. Efron 1979). Instead of drawing samples again and
//! again, the distribution that this would give in the end is computed: the r-th smallest of n draws
//! from n sorted values is at most the k-th of them if at least r of the draws are among the first k,
//! whose number is binomial (J. Maritz, R. Jarrett 1978).

/// Where the median lies, with 95 % of confidence.
const CONFIDENCE: f64 = 0.95;

/// The percentile bootstrap interval of the median, of 95 %; `None` of no samples.
///
/// The median of an even number of draws lies between two of them: the interval reaches from the
/// lower one's lower end to the upper one's upper end.
pub fn median_interval(samples: &[f64]) -> Option<[f64; 2]> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let (lower, upper) = (n.div_ceil(2), n / 2 + 1);
    let low = *sorted.get(first_place(n, lower, tail)?)?;
    let high = *sorted.get(first_place(n, upper, 1.0 - tail)?)?;
    Some([low, high])
}

/// The index of the first of n sorted values below or at which the r-th smallest of n draws lies with
/// at least this probability.
fn first_place(n: usize, r: usize, probability: f64) -> Option<usize> {
    let logs = log_factorials(n);
    let places: Vec<usize> = (1..=n).collect();
    let index = places.partition_point(|&k| at_least(r, n, k as f64 / n as f64, &logs) < probability);
    (n > 0).then(|| index.min(n - 1))
}

fn log_factorials(n: usize) -> Vec<f64> {
    let mut logs = vec![0.0; n + 1];
    for i in 1..=n {
        logs[i] = logs[i - 1] + (i as f64).ln();
    }
    logs
}

/// The probability of at least r successes in n trials that succeed with probability p.
fn at_least(r: usize, n: usize, p: f64, logs: &[f64]) -> f64 {
    if p >= 1.0 {
        return 1.0;
    }
    let term = |i: usize| {
        let ways = logs[n] - logs[i] - logs[n - i];
        (ways + i as f64 * p.ln() + (n - i) as f64 * (1.0 - p).ln()).exp()
    };
    (r..=n).map(term).sum()
}

#[cfg(test)]
mod tests {
    use trine_core::Rng;

    use super::*;
    use crate::stats::Summary;

    #[test]
    fn small_numbers_by_hand() {
        assert_eq!(median_interval(&[]), None);
        assert_eq!(median_interval(&[7.0]), Some([7.0, 7.0]));
        // The median of three draws is the smallest value with probability 7/27.
        assert_eq!(median_interval(&[3.0, 1.0, 2.0]), Some([1.0, 3.0]));
        let logs = log_factorials(3);
        assert!((at_least(2, 3, 1.0 / 3.0, &logs) - 7.0 / 27.0).abs() < 1e-12);
        assert_eq!(at_least(2, 3, 1.0, &logs), 1.0);
        // Of equal values nothing else can be drawn.
        assert_eq!(median_interval(&[4.0; 20]), Some([4.0, 4.0]));
    }

    /// The same interval as by drawing, up to the neighbours of its ends.
    #[test]
    fn drawing_gives_the_same() {
        let mut rng = Rng::keyed(1, &[]);
        let mut samples: Vec<f64> = (0..41).map(|_| rng.uniform()).collect();
        samples.sort_by(f64::total_cmp);
        let mut medians: Vec<f64> = (0..20_000)
            .map(|_| {
                let mut drawn: Vec<f64> =
                    (0..samples.len()).map(|_| samples[rng.below(samples.len() as u64) as usize]).collect();
                *drawn.select_nth_unstable_by(20, f64::total_cmp).1
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        let [low, high] = median_interval(&samples).expect("samples");
        let place = |value: f64| samples.iter().position(|&sample| sample == value).expect("one of them");
        for (found, drawn) in [(low, medians[500]), (high, medians[19_500])] {
            assert!(place(found).abs_diff(place(drawn)) <= 1, "{found} {drawn}");
        }
    }

    /// How often the interval of n draws from a distribution holds its median.
    fn coverage(n: usize, median: f64, mut draw: impl FnMut(&mut Rng) -> f64) -> f64 {
        const TRIALS: usize = 4000;
        let mut rng = Rng::keyed(2, &[n as u64]);
        let hits = (0..TRIALS).filter(|_| {
            let samples: Vec<f64> = (0..n).map(|_| draw(&mut rng)).collect();
            let [low, high] = median_interval(&samples).expect("samples");
            low <= median && median <= high
        });
        hits.count() as f64 / TRIALS as f64
    }

    #[test]
    fn holds_the_median_of_known_distributions_as_often_as_it_says() {
        for n in [15, 40, 101] {
            let even = coverage(n, 0.5, Rng::uniform);
            // Of times: a lower limit and a long tail.
            let skewed = coverage(n, 2f64.ln(), |rng| -(1.0 - rng.uniform()).ln());
            for (name, found) in [("uniform", even), ("exponential", skewed)] {
                assert!((0.93..=0.985).contains(&found), "{name}, {n} samples: {found}");
            }
        }
    }

    #[test]
    fn the_median_is_inside_and_more_samples_are_closer() {
        let mut rng = Rng::keyed(3, &[]);
        let mut width = |n: usize| {
            let samples: Vec<f64> = (0..n).map(|_| 1.0 + rng.uniform()).collect();
            let [low, high] = median_interval(&samples).expect("samples");
            let median = Summary::of(&samples).expect("samples").median;
            assert!(low <= median && median <= high);
            high - low
        };
        assert!(width(1000) < width(30) / 2.0);
    }
}
