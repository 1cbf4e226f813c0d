//! The same layer on the `gemm` crate, whose order of additions is its own: a second opinion, within
//! the bound for rounding errors.
//!
//! A sum of K products computed in any order is off by at most about K·u·Σ|a·b| (N. Higham 2002,
//! §3.1), u half the distance from 1 to the next number, and Σ|a·b| ≤ ‖a‖·‖b‖.
#![cfg(not(target_family = "wasm"))]

use trine_core::{Activation, Element, Fused, MatRef, Reference, Write};
use trine_kernels::{GemmCrate, Supported};
use trine_tests::property::{hold_on, hold_on_random, isas, with_engine};
use trine_tests::{Case, Op, Order, Outcome, Role, Values};

/// Euclidean norm of row i.
fn norm<E: Element>(view: MatRef<'_, E>, i: usize) -> f64 {
    (0..view.ncols()).map(|j| view.at(i, j).to_f64().powi(2)).sum::<f64>().sqrt()
}

/// How far element (i, j) of an output may be from its exact value.
fn bound<E: Element>(case: &Case, before: &Outcome<E>, role: Role, i: usize, j: usize) -> f64 {
    let view = |role: Role| before.get(role).view();
    let (x, w, y) = (view(Role::X), view(Role::W), view(Role::Y));
    let s = case.shape;
    let (terms, size) = match (case.op, role) {
        (Op::Forward | Op::Matmul, _) => (s.d, norm(x, i) * norm(w.t(), j)),
        (_, Role::Dx) => (s.m, norm(y, i) * norm(w, j)),
        (_, Role::Bias) => (s.n, norm(y.t(), j) * (s.n as f64).sqrt()),
        _ => (s.n, norm(x.t(), i) * norm(y.t(), j)),
    };
    let initial = match (case.op, role) {
        (Op::Forward, _) if case.bias => view(Role::Bias).at(0, j).to_f64().abs(),
        _ if case.reads(role) => view(role).at(i, j).to_f64().abs(),
        _ => 0.0,
    };
    let alpha = match (case.op, role) {
        (Op::Forward, _) | (Op::Step, Role::Dx) => 1.0,
        (Op::Matmul | Op::GradInput, _) | (Op::Backward, Role::Dx) => case.write.alpha.abs(),
        _ => case.params_write.alpha.abs(),
    };
    let unit = 2f64.powi(-(E::DIGITS as i32));
    // Derivatives of activations stay below 1.2; the last term is for the activation's own error.
    let sum = 1.2 * (terms + 4) as f64 * unit * (alpha * size + initial);
    sum + 8.0 * unit * (alpha * size + initial) + f64::from(f32::MIN_POSITIVE)
}

/// Finite numbers of moderate size, and views that can be written to in any way.
fn moderate(case: &Case) -> Case {
    let finite = |write: Write<f64>| if write.alpha.is_finite() { write } else { Write::ADD };
    // What the derivative is taken from may be anything; a rectifier's stays below 1.
    let activation = match case.op {
        Op::Backward | Op::Step => Activation::Relu,
        _ => case.activation,
    };
    let (write, params_write) = (finite(case.write), finite(case.params_write));
    Case { values: Values::Uniform, activation, write, params_write, saved: true, ..case.clone() }
}

fn close<E: Supported>(case: &Case) -> Result<(), String> {
    let case = moderate(case);
    let before = Outcome::<E>::before(&case);
    let mut found = vec![("gemm".to_string(), case.run::<E, _>(&mut GemmCrate::new(1)))];
    for isa in isas() {
        found.push((isa.to_string(), with_engine::<E, _>(isa, &case, |engine| case.run::<E, _>(engine))));
    }
    found.push(("reference".into(), case.run::<E, _>(&mut Reference(Fused))));
    let (_, peer) = found.remove(0);
    peer.gaps_intact().map_err(|why| format!("gemm: {why}"))?;
    for (name, outcome) in found {
        for role in Role::ALL {
            let (a, b) = (outcome.get(role).view(), peer.get(role).view());
            for (i, j) in (0..a.nrows()).flat_map(|i| (0..a.ncols()).map(move |j| (i, j))) {
                let bound = if case.writes(role) { 2.0 * bound(&case, &before, role, i, j) } else { 0.0 };
                let distance = (a.at(i, j).to_f64() - b.at(i, j).to_f64()).abs();
                if distance.partial_cmp(&bound).is_none_or(std::cmp::Ordering::is_gt) {
                    let (a, b) = (a.at(i, j), b.at(i, j));
                    return Err(format!(
                        "{role:?}[{i}, {j}] is {a:?} ({name}), {b:?} (gemm), more than {bound:e} away"
                    ));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn the_gemm_crate_is_close_to_every_engine() {
    hold_on_random(150, [("f32", close::<f32>), ("f64", close::<f64>)]);
}

#[test]
fn the_gemm_crate_is_close_where_sums_are_long() {
    let shapes =
        [(64, 65, 66), (33, 1025, 40), (1025, 33, 40), (40, 33, 1025), (3, 5, 0), (3, 0, 5), (0, 3, 5)];
    let cases = shapes.into_iter().flat_map(|(n, d, m)| {
        Op::ALL.into_iter().flat_map(move |op| {
            [Order::Rows, Order::Columns].map(|order| {
                let plain = Case::plain(op, n, d, m);
                Case { places: plain.places.map(|place| place.ordered(order)), ..plain }
            })
        })
    });
    hold_on(cases, [("f32", close::<f32>), ("f64", close::<f64>)]);
}
