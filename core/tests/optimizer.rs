//! Optimizers against steps written out by hand, and the same bits from every lane width.

mod common;

use common::{Wide, With};
use trine_core::gradient::{clip_norm, norm, zero};
use trine_core::{Element, Fused, LinearKernels, Optimizer, Reference, Rng, Rule, Unfused};

const RULES: [Rule; 8] = [
    Rule::SGD,
    Rule::Sgd { weight_decay: 0.1 },
    Rule::Momentum { momentum: 0.9, weight_decay: 0.0 },
    Rule::Momentum { momentum: 0.7, weight_decay: 0.02 },
    Rule::Nesterov { momentum: 0.9, weight_decay: 0.0 },
    Rule::Nesterov { momentum: 0.6, weight_decay: 0.05 },
    Rule::ADAM,
    Rule::AdamW { beta1: 0.8, beta2: 0.95, epsilon: 1e-6, weight_decay: 0.1 },
];

/// One parameter under a rule, from its textbook form.
struct ByHand {
    p: f64,
    m: f64,
    v: f64,
}

impl ByHand {
    fn step(&mut self, rule: Rule, lr: f64, g: f64, t: i32) {
        let adam = |this: &mut Self, beta1: f64, beta2: f64, epsilon: f64| {
            this.m = beta1 * this.m + (1.0 - beta1) * g;
            this.v = beta2 * this.v + (1.0 - beta2) * g * g;
            let m_hat = this.m / (1.0 - beta1.powi(t));
            let v_hat = this.v / (1.0 - beta2.powi(t));
            this.p -= lr * m_hat / (v_hat.sqrt() + epsilon);
        };
        match rule {
            Rule::Sgd { weight_decay } => self.p -= lr * (g + weight_decay * self.p),
            Rule::Momentum { momentum, weight_decay } => {
                self.v = momentum * self.v + g + weight_decay * self.p;
                self.p -= lr * self.v;
            }
            Rule::Nesterov { momentum, weight_decay } => {
                let g = g + weight_decay * self.p;
                self.v = momentum * self.v + g;
                self.p -= lr * (g + momentum * self.v);
            }
            Rule::Adam { beta1, beta2, epsilon } => adam(self, beta1, beta2, epsilon),
            Rule::AdamW { beta1, beta2, epsilon, weight_decay } => {
                self.p -= lr * weight_decay * self.p;
                adam(self, beta1, beta2, epsilon);
            }
            _ => panic!("a rule without a form by hand: {rule:?}"),
        }
    }
}

fn normals<E: Element>(len: usize, seed: u64) -> Vec<E> {
    let mut rng = Rng::new(seed);
    (0..len).map(|_| E::from_f64(rng.normal())).collect()
}

#[test]
fn every_rule_takes_the_steps_of_its_textbook_form() {
    const LEN: usize = 11;
    for rule in RULES {
        let mut optimizer = Optimizer::new(rule, 0.05).unwrap();
        let mut params = normals::<f64>(LEN, 1);
        let mut state = vec![0.0; optimizer.state_len(LEN)];
        let mut by_hand: Vec<_> = params.iter().map(|&p| ByHand { p, m: 0.0, v: 0.0 }).collect();
        for t in 1..=30 {
            let lr = 0.05 / f64::from(t);
            optimizer.set_lr(lr).unwrap();
            let grads = normals::<f64>(LEN, 100 + t as u64);
            optimizer.step(&mut Reference::<Fused>::default(), &mut params, &grads, &mut state).unwrap();
            for (hand, g) in by_hand.iter_mut().zip(&grads) {
                hand.step(rule, lr, *g, t);
            }
            for (p, hand) in params.iter().zip(&by_hand) {
                assert!((p - hand.p).abs() <= 1e-12, "{rule:?}, step {t}: {p} instead of {}", hand.p);
            }
        }
        assert_eq!(optimizer.steps(), 30);
    }
}

#[test]
fn first_steps_worked_out_on_paper() {
    let one = |rule, p: f64, gs: &[f64]| {
        let mut optimizer = Optimizer::new(rule, 0.5).unwrap();
        let (mut params, mut state) = ([p], vec![0.0; optimizer.state_len(1)]);
        for g in gs {
            optimizer.step(&mut Reference::<Fused>::default(), &mut params, &[*g], &mut state).unwrap();
        }
        params[0]
    };
    assert_eq!(one(Rule::SGD, 3.0, &[2.0]), 2.0);
    // g + λp = 2 + 0.5·4 = 4
    assert_eq!(one(Rule::Sgd { weight_decay: 0.5 }, 4.0, &[2.0]), 2.0);
    // v = 2, then 0.5·2 + 2 = 3: 4 − 1 − 1.5
    assert_eq!(one(Rule::Momentum { momentum: 0.5, weight_decay: 0.0 }, 4.0, &[2.0, 2.0]), 1.5);
    // steps along 2 + 0.5·2 = 3, then 2 + 0.5·3 = 3.5
    assert_eq!(one(Rule::Nesterov { momentum: 0.5, weight_decay: 0.0 }, 4.0, &[2.0, 2.0]), 0.75);
    // Whatever the size of g, the first step of Adam is the learning rate.
    for g in [1e-3, 1.0, 1e6] {
        assert!((one(Rule::ADAM, 4.0, &[g]) - 3.5).abs() < 1e-5);
    }
}

fn bits<E: Element>(values: &[E]) -> Vec<u64> {
    values.iter().map(|v| v.bits()).collect()
}

/// Parameters and state after a few steps with the lanes of `kernels`.
fn trained<E: Element>(rule: Rule, kernels: &mut impl LinearKernels<E>, len: usize) -> Vec<u64> {
    let mut optimizer = Optimizer::new(rule, 0.01).unwrap();
    let mut params = normals::<E>(len, 5);
    let mut state = vec![E::ZERO; optimizer.state_len(len)];
    for t in 0..5 {
        optimizer.step(kernels, &mut params, &normals::<E>(len, 50 + t), &mut state).unwrap();
    }
    params.extend(state);
    bits(&params)
}

fn all_lanes_agree<E: Element>() {
    for rule in RULES {
        for len in [0, 1, 3, 4, 5, 8, 31] {
            let scalar = trained::<E>(rule, &mut Reference::<Fused>::default(), len);
            let quads = trained::<E>(rule, &mut With(Wide::<_, 4>(Fused)), len);
            assert_eq!(scalar, quads, "{rule:?}, {len} values");
            // No operation of a step is a multiply-add, so its rounding has no say.
            assert_eq!(scalar, trained::<E>(rule, &mut Reference::<Unfused>::default(), len));
        }
    }
}

#[test]
fn every_lane_width_and_rounding_gives_the_same_bits() {
    all_lanes_agree::<f32>();
    all_lanes_agree::<f64>();
}

#[test]
fn parts_and_resumed_runs_give_the_bits_of_the_whole() {
    const LEN: usize = 10;
    let mut kernels = Reference::<Fused>::default();
    for rule in RULES {
        let (mut whole, mut parts) = (normals::<f32>(LEN, 9), normals::<f32>(LEN, 9));
        let moments = rule.state_len(1);
        let mut whole_state = vec![0.0; rule.state_len(LEN)];
        let mut part_states = [vec![0.0; moments * 3], vec![0.0; moments * 7]];
        let mut optimizer = Optimizer::new(rule, 0.1).unwrap();
        for t in 0..4 {
            let grads = normals::<f32>(LEN, 20 + t);
            optimizer.step(&mut kernels, &mut whole, &grads, &mut whole_state).unwrap();
            let resumed = Optimizer::new(rule, 0.1).unwrap().resume(t + 1);
            assert_eq!(resumed, optimizer);
            let (first, second) = parts.split_at_mut(3);
            resumed.apply(&mut kernels, first, &grads[..3], &mut part_states[0]).unwrap();
            resumed.apply(&mut kernels, second, &grads[3..], &mut part_states[1]).unwrap();
        }
        assert_eq!(bits(&whole), bits(&parts), "{rule:?}");
    }
}

#[test]
fn wrong_lengths_are_refused_and_nothing_is_written() {
    let mut kernels = Reference::<Fused>::default();
    let mut optimizer = Optimizer::new(Rule::ADAM, 0.1).unwrap();
    let (mut params, mut state) = ([1.0f32, 2.0, 3.0], [0.5f32; 6]);

    let error = optimizer.step(&mut kernels, &mut params, &[1.0; 2], &mut state).unwrap_err();
    assert_eq!(error.to_string(), "grads has 2 values, but params has 3 values");
    let error = optimizer.step(&mut kernels, &mut params, &[1.0; 3], &mut state[..5]).unwrap_err();
    assert_eq!(error.to_string(), "state needs 6 values, but has 5");
    let error = optimizer.apply(&mut kernels, &mut params, &[1.0; 3], &mut state).unwrap_err();
    assert_eq!(error.to_string(), "step must be begun with advance");

    assert_eq!((params, state), ([1.0, 2.0, 3.0], [0.5; 6]));
    assert_eq!(optimizer, Optimizer::new(Rule::ADAM, 0.1).unwrap());
}

#[test]
fn constants_outside_their_domain_are_refused() {
    let refused = |rule, lr| Optimizer::new(rule, lr).unwrap_err().to_string();
    for lr in [-1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(refused(Rule::SGD, lr), "lr must be finite and not negative");
        let mut optimizer = Optimizer::new(Rule::SGD, 0.25).unwrap();
        assert!(optimizer.set_lr(lr).is_err());
        assert_eq!(optimizer.lr(), 0.25);
    }
    for x in [-0.1, 1.0, f64::NAN] {
        let message = |name: &str| format!("{name} must be at least 0 and less than 1");
        let weight_decay = 0.0;
        assert_eq!(refused(Rule::Momentum { momentum: x, weight_decay }, 0.1), message("momentum"));
        assert_eq!(refused(Rule::Nesterov { momentum: x, weight_decay }, 0.1), message("momentum"));
        let epsilon = 1e-8;
        assert_eq!(refused(Rule::Adam { beta1: x, beta2: 0.5, epsilon }, 0.1), message("beta1"));
        assert_eq!(
            refused(Rule::AdamW { beta1: 0.5, beta2: x, epsilon, weight_decay }, 0.1),
            message("beta2")
        );
    }
    for epsilon in [0.0, -1e-8, f64::NAN, f64::INFINITY] {
        assert_eq!(
            refused(Rule::Adam { beta1: 0.9, beta2: 0.9, epsilon }, 0.1),
            "epsilon must be finite and positive"
        );
    }
    for weight_decay in [-0.1, f64::NAN, f64::INFINITY] {
        let message = "weight_decay must be finite and not negative";
        assert_eq!(refused(Rule::Sgd { weight_decay }, 0.1), message);
        assert_eq!(refused(Rule::Momentum { momentum: 0.0, weight_decay }, 0.1), message);
    }
}

#[test]
fn clipping_scales_to_the_norm() {
    let mut grads = [3.0f32, 0.0, -4.0];
    assert_eq!(norm(&grads), 5.0);
    assert_eq!(clip_norm(&mut grads, 5.0), Ok(5.0));
    assert_eq!(grads, [3.0, 0.0, -4.0]);
    assert_eq!(clip_norm(&mut grads, 2.5), Ok(5.0));
    assert_eq!(grads, [1.5, 0.0, -2.0]);
    assert!(clip_norm(&mut grads, f64::NAN).is_err());
    zero(&mut grads);
    assert_eq!(bits(&grads), [0, 0, 0]);

    // The documented order of additions, over more than two stripes.
    let grads = normals::<f64>(37, 3);
    let mut sums = [0.0; 16];
    for (i, g) in grads.iter().enumerate() {
        sums[i % 16] += g * g;
    }
    let all = sums.iter().fold(0.0, |all, sum| all + sum);
    assert_eq!(norm(&grads).to_bits(), f64::sqrt(all).to_bits());

    let mut grads = [f32::INFINITY, 1.0];
    assert_eq!(clip_norm(&mut grads, 1.0), Ok(f64::INFINITY));
    assert_eq!(grads, [f32::INFINITY, 1.0]);
}
