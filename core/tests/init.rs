//! Random numbers: their distribution, and that they are the same everywhere.

use trine_core::init::init_layer;
use trine_core::{Activation, Network, Rng, shuffle};

#[test]
fn normal_numbers_are_normal() {
    const N: usize = 1_000_000;
    let mut rng = Rng::new(1);
    let (mut moments, mut beyond) = ([0.0f64; 5], [0usize; 4]);
    for _ in 0..N {
        let x = rng.normal();
        for (power, moment) in moments.iter_mut().enumerate().skip(1) {
            *moment += x.powi(power as i32) / N as f64;
        }
        for (sigma, beyond) in beyond.iter_mut().enumerate() {
            *beyond += usize::from(x > 1.0 + sigma as f64);
        }
    }
    // Five standard deviations of each estimate: √(1, 2, 15, 96)/√N.
    let deviation = 5.0 / (N as f64).sqrt();
    assert!(moments[1].abs() < deviation, "mean {}", moments[1]);
    assert!((moments[2] - 1.0).abs() < 1.5 * deviation, "variance {}", moments[2]);
    assert!(moments[3].abs() < 3.9 * deviation, "third moment {}", moments[3]);
    assert!((moments[4] - 3.0).abs() < 9.8 * deviation, "fourth moment {}", moments[4]);
    // P(x > 1), …, P(x > 4) of the normal distribution.
    let tails = [0.158_655_254, 0.022_750_132, 0.001_349_898, 0.000_031_671];
    for (beyond, p) in beyond.iter().zip(tails) {
        let (found, expected) = (*beyond as f64, p * N as f64);
        assert!((found - expected).abs() < 5.0 * expected.sqrt(), "{found} instead of {expected}");
    }
}

#[test]
fn uniform_numbers_stay_within_their_bounds_and_fill_them() {
    let mut rng = Rng::new(2);
    let mut counts = [0usize; 7];
    for _ in 0..70_000 {
        counts[rng.below(7) as usize] += 1;
        let u = rng.uniform();
        assert!((0.0..1.0).contains(&u));
    }
    assert!(counts.iter().all(|count| count.abs_diff(10_000) < 500), "{counts:?}");
    assert_eq!(rng.below(0), 0);
    assert_eq!(rng.below(1), 0);
}

#[test]
fn a_shuffle_is_a_permutation_and_every_one_comes_up() {
    let mut items: Vec<u32> = (0..1000).collect();
    let mut again = items.clone();
    shuffle(&mut items, &mut Rng::keyed(7, &[3]));
    shuffle(&mut again, &mut Rng::keyed(7, &[3]));
    assert_eq!(items, again);
    let mut other: Vec<u32> = (0..1000).collect();
    shuffle(&mut other, &mut Rng::keyed(7, &[4]));
    assert_ne!(items, other);
    items.sort_unstable();
    assert!(items.iter().copied().eq(0..1000));

    let mut rng = Rng::new(3);
    let mut counts = std::collections::HashMap::new();
    for _ in 0..24_000 {
        let mut four = [0, 1, 2, 3];
        shuffle(&mut four, &mut rng);
        *counts.entry(four).or_insert(0usize) += 1;
    }
    assert_eq!(counts.len(), 24);
    assert!(counts.values().all(|count| count.abs_diff(1000) < 160), "{counts:?}");
    shuffle(&mut [], &mut rng);
}

#[test]
fn weights_have_the_variance_of_their_layer_and_biases_are_zero() {
    let (d, m) = (300, 200);
    let mut params = vec![1.0f64; d * m + m];
    init_layer(&mut params, d, m, 0, 42).unwrap();
    let (w, b) = params.split_at(d * m);
    let variance = w.iter().map(|w| w * w).sum::<f64>() / w.len() as f64;
    assert!((variance * d as f64 - 1.0).abs() < 0.03, "{variance}");
    assert!(b.iter().all(|b| b.to_bits() == 0));

    let mut narrow = vec![1.0f32; d * m + m];
    init_layer(&mut narrow, d, m, 0, 42).unwrap();
    assert!(narrow.iter().zip(&params).all(|(narrow, wide)| *narrow == *wide as f32));
    init_layer(&mut narrow, d, m, 1, 42).unwrap();
    assert!(narrow[0] != params[0] as f32);
    init_layer(&mut narrow, d, m, 0, 43).unwrap();
    assert!(narrow[0] != params[0] as f32);

    let error = init_layer(&mut [0.0f32; 5], 2, 3, 0, 0).unwrap_err();
    assert_eq!(error.to_string(), "params has 5 values, but layer has 9 values");
}

#[test]
fn stages_begin_with_the_weights_of_the_whole() {
    let network = Network::new(&[5, 8, 8, 8, 3], Activation::Relu, Activation::Identity).unwrap();
    let mut whole = vec![0.0f32; network.params_len()];
    network.init(&mut whole, 11).unwrap();
    for split in 1..4 {
        for layers in [0..split, split..4] {
            let stage = network.stage(layers.clone()).unwrap();
            let mut part = vec![0.0f32; stage.params_len()];
            stage.init(&mut part, 11).unwrap();
            assert_eq!(part, whole[network.params_range(layers)]);
        }
    }
    // A stage of a stage knows its place as well.
    let inner = network.stage(1..4).unwrap().stage(1..2).unwrap();
    let mut part = vec![0.0f32; inner.params_len()];
    inner.init(&mut part, 11).unwrap();
    assert_eq!((inner.first_layer(), &part[..]), (2, &whole[network.params_range(2..3)]));
    // Equal shapes at different places differ.
    assert_ne!(whole[network.params_range(1..2)], whole[network.params_range(2..3)]);
}
