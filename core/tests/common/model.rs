//! What the tests of the network share: a small network with memory for it.
#![allow(dead_code)]

use trine_core::{
    Activation, Backprop, Cache, Element, MatMut, MatRef, Network, Reference, Rng, Slot, Write,
};

pub const WIDTHS: [usize; 5] = [3, 7, 4, 6, 2];

pub fn kernels() -> Reference {
    Reference::default()
}

pub fn normals<E: Element>(len: usize, seed: u64) -> Vec<E> {
    let mut rng = Rng::new(seed);
    (0..len).map(|_| E::from_f64(rng.normal())).collect()
}

pub fn bits<E: Element>(values: &[E]) -> Vec<u64> {
    values.iter().map(|v| v.bits()).collect()
}

/// A network with memory for it.
pub struct Model<E> {
    pub network: Network<'static>,
    pub params: Vec<E>,
    pub grads: Vec<E>,
    pub scratch: Vec<E>,
    pub memory: Vec<E>,
    pub slots: Vec<Slot>,
    pub batch: usize,
}

impl<E: Element> Model<E> {
    pub fn new(network: Network<'static>, batch: usize, depth: usize) -> Self {
        let mut params = vec![E::NAN; network.params_len()];
        network.init(&mut params, 42).unwrap();
        // Biases other than zero, so that their place is tested.
        let shift = normals::<E>(params.len(), 99);
        params.iter_mut().zip(shift).for_each(|(p, s)| *p = *p + s * E::from_f64(0.125));
        Model {
            network,
            params,
            grads: vec![E::NAN; network.params_len()],
            scratch: vec![E::NAN; network.scratch_len(batch)],
            memory: vec![E::NAN; network.activations_len(batch, depth)],
            slots: vec![Slot::EMPTY; network.slots_len(depth)],
            batch,
        }
    }

    /// All of it, each part to be borrowed on its own.
    #[allow(clippy::type_complexity)]
    pub fn parts(&mut self) -> (Network<'static>, Cache<'_, E>, &mut [E], &mut [E], &mut [E]) {
        let cache = self.network.cache(&mut self.memory, &mut self.slots, self.batch).unwrap();
        (self.network, cache, &mut self.params, &mut self.grads, &mut self.scratch)
    }

    /// Gradients of `Σ c·y` for one microbatch, with ∇X if asked for.
    pub fn gradients(&mut self, x: &[E], c: &[E], write: Write<E>, dx: Option<&mut [E]>) -> Vec<usize> {
        let (network, mut cache, params, grads, scratch) = self.parts();
        let (d, m) = (network.widths()[0], *network.widths().last().unwrap());
        let rows = x.len() / d;
        network.input(&mut cache, 0, rows).unwrap().copy_from_slice(x);
        network.forward(&mut kernels(), params, &mut cache, 0).unwrap();
        let dy = MatRef::row_major(c, rows, m).unwrap();
        let dx = dx.map(|dx| MatMut::row_major(dx, rows, d).unwrap());
        let mut order = Vec::new();
        let operands = Backprop { params, grads, write, dy, dx, scratch };
        network
            .backward(&mut kernels(), &mut cache, 0, operands, |layer, grads| {
                assert_eq!(grads.len(), network.params_range(layer..layer + 1).len());
                order.push(layer);
            })
            .unwrap();
        assert_eq!(cache.bytes(), 0);
        order
    }

    pub fn infer(&mut self, x: &[E], rows: usize, scratch: usize) -> Vec<E> {
        let (d, m) = (self.network.widths()[0], *self.network.widths().last().unwrap());
        let mut y = vec![E::NAN; rows * m];
        let x = MatRef::row_major(x, rows, d).unwrap();
        let view = MatMut::row_major(&mut y, rows, m).unwrap();
        let mut scratch = vec![E::NAN; scratch];
        self.network.infer(&mut kernels(), &self.params, x, view, &mut scratch).unwrap();
        y
    }
}

pub fn network(hidden: Activation) -> Network<'static> {
    Network::new(&WIDTHS, hidden, Activation::Identity).unwrap()
}
