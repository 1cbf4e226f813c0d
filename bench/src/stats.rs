//! The few statistics that a report needs: the middle of many samples, and how far they lie apart.

use serde::{Deserialize, Serialize};

/// Five numbers for many samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Half of the samples are at most this.
    pub median: f64,
    /// A quarter of them are at most this.
    pub first_quartile: f64,
    /// Three quarters of them are at most this.
    pub third_quartile: f64,
    /// The smallest.
    pub min: f64,
    /// How many there were.
    pub samples: usize,
}

impl Summary {
    /// Of samples in any order; `None` of no samples.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Summary {
            median: quantile(&sorted, 0.5)?,
            first_quartile: quantile(&sorted, 0.25)?,
            third_quartile: quantile(&sorted, 0.75)?,
            min: *sorted.first()?,
            samples: sorted.len(),
        })
    }

    /// The distance between the quartiles as a share of the median.
    pub fn spread(&self) -> f64 {
        (self.third_quartile - self.first_quartile) / self.median
    }
}

/// The value below which the share `q` of sorted samples lies, linear between two neighbours
/// (R. Hyndman, Y. Fan 1996, type 7).
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let place = q * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

/// `a[i]/b[i]`, of two contenders round by round: what disturbs a whole round disturbs both, and
/// drops out.
pub fn ratios(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a / b).collect()
}

/// The median of the [`ratios`]. `None` if there is no round.
pub fn median_ratio(a: &[f64], b: &[f64]) -> Option<f64> {
    Summary::of(&ratios(a, b)).map(|summary| summary.median)
}

/// The n-th root of the product of n numbers; `None` if there is none.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    let logarithms: f64 = values.iter().map(|value| value.ln()).sum();
    (!values.is_empty()).then(|| (logarithms / values.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_by_hand() {
        let five = Summary::of(&[5.0, 1.0, 4.0, 2.0, 3.0]).expect("samples");
        assert_eq!((five.first_quartile, five.median, five.third_quartile), (2.0, 3.0, 4.0));
        assert_eq!((five.min, five.samples), (1.0, 5));
        assert_eq!(five.spread(), 2.0 / 3.0);
        let two = Summary::of(&[1.0, 2.0]).expect("samples");
        assert_eq!((two.first_quartile, two.median, two.third_quartile), (1.25, 1.5, 1.75));
        let one = Summary::of(&[7.0]).expect("samples");
        assert_eq!((one.first_quartile, one.median, one.third_quartile, one.spread()), (7.0, 7.0, 7.0, 0.0));
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn ratios_round_by_round() {
        // The second round was disturbed: both took three times as long, their ratio is unmoved.
        assert_eq!(median_ratio(&[2.0, 6.0, 2.0], &[1.0, 3.0, 1.0]), Some(2.0));
        assert_eq!(median_ratio(&[], &[]), None);
    }

    #[test]
    fn geometric_means() {
        let mean = geometric_mean(&[0.5, 2.0, 8.0]).expect("values");
        assert!((mean - 2.0).abs() < 1e-12, "{mean}");
        assert_eq!(geometric_mean(&[]), None);
    }
}
