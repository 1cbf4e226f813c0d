//! Whether one row of numbers lies above another. All numbers are logarithms of ratios of times, one of each
//! process, so that a difference is a relative change.

use trine_core::Rng;

/// Resamples for an interval, permutations for a probability.
const RESAMPLES: usize = 4000;

/// The share of intervals that hold what they are for.
const COVERAGE: f64 = 0.99;

/// The mean of the middle half: nearly as sharp as the mean, and as deaf to a few processes that were disturbed
/// as the median (Tukey's trimmed mean, a quarter off each side).
pub fn centre(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quarter = sorted.len() / 4;
    let middle = &sorted[quarter..sorted.len() - quarter];
    middle.iter().sum::<f64>() / middle.len() as f64
}

/// How far [`centre`] may be off: its standard error, from the distance between the quartiles.
pub fn error(values: &[f64]) -> f64 {
    let Some(summary) = crate::stats::Summary::of(values) else { return f64::INFINITY };
    // For normal numbers the quartiles are 1.349 deviations apart, and the centre is off by 1.1 times the mean's.
    let deviation = (summary.third_quartile - summary.first_quartile) / 1.349;
    1.1 * deviation / (values.len() as f64).sqrt()
}

/// How `now` lies to `before`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Of the centres.
    pub estimate: f64,
    /// The interval of the difference: a bootstrap over processes (B. Efron 1979), percentiles.
    pub low: f64,
    /// Its other end.
    pub high: f64,
    /// How often chance alone would put `now` so far above `before`: a permutation test (R. A. Fisher 1935).
    pub chance: f64,
}

/// Compares them; the same numbers give the same answer.
pub fn change(before: &[f64], now: &[f64]) -> Change {
    let estimate = centre(now) - centre(before);
    let mut rng = Rng::keyed(1, &[before.len() as u64, now.len() as u64]);
    let mut drawn = [vec![0.0; before.len()], vec![0.0; now.len()]];
    let mut differences: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            for (from, to) in [before, now].into_iter().zip(&mut drawn) {
                to.fill_with(|| from[rng.below(from.len() as u64) as usize]);
            }
            centre(&drawn[1]) - centre(&drawn[0])
        })
        .collect();
    differences.sort_by(f64::total_cmp);
    let outside = ((1.0 - COVERAGE) / 2.0 * RESAMPLES as f64) as usize;
    let mut all = [before, now].concat();
    let as_far = (0..RESAMPLES).filter(|_| {
        // The first of a shuffle are a random part.
        for i in 0..now.len() {
            let other = i + rng.below((all.len() - i) as u64) as usize;
            all.swap(i, other);
        }
        centre(&all[..now.len()]) - centre(&all[now.len()..]) >= estimate
    });
    let chance = (1 + as_far.count()) as f64 / (1 + RESAMPLES) as f64;
    Change { estimate, low: differences[outside], high: differences[RESAMPLES - 1 - outside], chance }
}

/// A number and its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The number.
    pub centre: f64,
    /// One end.
    pub low: f64,
    /// The other.
    pub high: f64,
}

/// The mean of the centres of several rows of numbers, with the interval of a bootstrap over each of them.
pub fn of_means(all: &[Vec<f64>]) -> Estimate {
    let mean = |centres: &mut dyn Iterator<Item = f64>| centres.sum::<f64>() / all.len() as f64;
    let mut rng = Rng::keyed(2, &[all.len() as u64]);
    let mut drawn = Vec::new();
    let mut means: Vec<f64> = (0..RESAMPLES / 4)
        .map(|_| {
            mean(&mut all.iter().map(|from| {
                drawn.clear();
                drawn.extend((0..from.len()).map(|_| from[rng.below(from.len() as u64) as usize]));
                centre(&drawn)
            }))
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let outside = ((1.0 - COVERAGE) / 2.0 * means.len() as f64) as usize;
    let centre = mean(&mut all.iter().map(|one| centre(one)));
    Estimate { centre, low: means[outside], high: means[means.len() - 1 - outside] }
}

/// Which of several chances are too small to be one, if all together may be wrong with this probability (S. Holm 1979).
pub fn holm(chances: &[f64], level: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..chances.len()).collect();
    order.sort_by(|&a, &b| chances[a].total_cmp(&chances[b]));
    let mut rejected = vec![false; chances.len()];
    for (rank, &i) in order.iter().enumerate() {
        if chances[i] > level / (chances.len() - rank) as f64 {
            break;
        }
        rejected[i] = true;
    }
    rejected
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that are nearly normal, the sum of twelve even ones.
    fn normal(rng: &mut Rng, count: usize, centre: f64, deviation: f64) -> Vec<f64> {
        let mut even = || rng.next_u64() as f64 / u64::MAX as f64 - 0.5;
        (0..count).map(|_| centre + deviation * (0..12).map(|_| even()).sum::<f64>()).collect()
    }

    #[test]
    fn the_centre_is_deaf_to_a_quarter() {
        assert_eq!(centre(&[1.0, 2.0, 3.0, 100.0]), 2.5);
        assert_eq!(centre(&[7.0]), 7.0);
        assert_eq!(centre(&[0.0, 1.0, 1.0, 2.0, 2.0, 1.0, 50.0, -50.0]), 1.25);
    }

    #[test]
    fn the_error_is_that_of_normal_numbers() {
        let mut rng = Rng::keyed(3, &[]);
        let centres: Vec<f64> = (0..2000).map(|_| centre(&normal(&mut rng, 16, 5.0, 1.0))).collect();
        let off = (centres.iter().map(|c| (c - 5.0).powi(2)).sum::<f64>() / 2000.0).sqrt();
        let told = error(&normal(&mut rng, 20_000, 5.0, 1.0)) * (20_000f64 / 16.0).sqrt();
        assert!((told / off - 1.0).abs() < 0.1, "{told} {off}");
    }

    #[test]
    fn intervals_hold_and_chance_is_chance() {
        let mut rng = Rng::keyed(4, &[]);
        let runs = 300;
        let (mut outside, mut rare) = (0, 0);
        for _ in 0..runs {
            let change = change(&normal(&mut rng, 10, 0.0, 1.0), &normal(&mut rng, 10, 0.5, 1.0));
            outside += usize::from(change.low > 0.5 || change.high < 0.5);
            let same = super::change(&normal(&mut rng, 10, 0.0, 1.0), &normal(&mut rng, 10, 0.0, 1.0));
            rare += usize::from(same.chance <= 0.1);
        }
        // Percentile intervals of ten numbers are a little narrow.
        assert!(outside <= runs * 5 / 100, "{outside} of {runs} intervals miss");
        assert!((runs * 5 / 100..runs * 16 / 100).contains(&rare), "{rare} of {runs}");
    }

    #[test]
    fn the_mean_of_centres_has_an_interval() {
        let mut rng = Rng::keyed(5, &[]);
        let rows = [normal(&mut rng, 40, 1.0, 0.1), normal(&mut rng, 40, 3.0, 0.1)];
        let Estimate { centre, low, high } = of_means(&rows);
        assert!((centre - 2.0).abs() < 0.05 && low < centre && centre < high && high - low < 0.15);
    }

    #[test]
    fn many_tests_are_no_better_than_one() {
        assert_eq!(holm(&[0.004, 0.5, 0.012, 0.03], 0.04), [true, false, true, false]);
        assert!(holm(&[], 0.04).is_empty());
    }
}
