//! Slots are filled once, freed by their own microbatch, and counted.

use trine_core::{Cache, Slot};

const WIDTHS: [usize; 3] = [2, 5, 1];

fn with_cache<T>(depth: usize, batch: usize, use_it: impl FnOnce(Cache<'_, f32>) -> T) -> T {
    let mut memory = vec![0.0f32; Cache::<f32>::memory_len(8, batch, depth)];
    let mut slots = vec![Slot::EMPTY; 3 * depth];
    use_it(Cache::new(&mut memory, &mut slots, 3, batch, |layer| WIDTHS[layer]).unwrap())
}

#[test]
fn what_is_put_is_read_and_taken() {
    with_cache(2, 4, |mut cache| {
        assert_eq!((cache.depth(), cache.layers(), cache.batch()), (2, 3, 4));
        for microbatch in 0..2 {
            for (layer, width) in WIDTHS.iter().enumerate() {
                let slot = cache.put(microbatch, layer, 3).unwrap();
                assert_eq!(slot.len(), 3 * width);
                slot.fill((10 * microbatch + layer) as f32);
            }
        }
        for microbatch in [1, 0] {
            for layer in (0..3).rev() {
                let value = (10 * microbatch + layer) as f32;
                assert!(cache.get(microbatch, layer).unwrap().iter().all(|v| *v == value));
                assert_eq!(cache.rows(microbatch, layer), Ok(3));
                assert_eq!(cache.take(microbatch, layer).unwrap(), vec![value; 3 * WIDTHS[layer]]);
            }
        }
    });
}

#[test]
fn a_slot_out_of_turn_is_refused() {
    with_cache(2, 4, |mut cache| {
        let message = |error: Result<usize, trine_core::Error>| error.unwrap_err().to_string();
        assert_eq!(message(cache.get(0, 1).map(<[f32]>::len)), "cache slot 1 is empty");
        assert_eq!(message(cache.take(1, 1).map(|s| s.len())), "cache slot 4 is empty");
        cache.put(0, 1, 4).unwrap().fill(7.0);
        assert_eq!(message(cache.put(0, 1, 4).map(|s| s.len())), "cache slot 1 is full");
        // Microbatch 2 has the place of microbatch 0 in the ring.
        assert_eq!(message(cache.put(2, 1, 4).map(|s| s.len())), "cache slot 1 is full");
        assert_eq!(message(cache.take(2, 1).map(|s| s.len())), "cache slot 1 is held by another microbatch");
        assert_eq!(
            message(cache.get(0, 3).map(<[f32]>::len)),
            "cache slot 3 is beyond those of a microbatch"
        );
        assert_eq!(
            message(cache.put(1, 0, 5).map(|s| s.len())),
            "microbatch has 5 rows, but cache has 4 rows"
        );
        assert_eq!(cache.bytes(), 80);
        assert_eq!(cache.get(0, 1).unwrap(), [7.0; 20]);
        cache.take(0, 1).unwrap();
        assert_eq!(message(cache.take(0, 1).map(|s| s.len())), "cache slot 1 is empty");
        cache.put(2, 1, 1).unwrap();
    });
}

#[test]
fn a_slot_is_computed_from_an_earlier_one() {
    with_cache(1, 4, |mut cache| {
        assert!(cache.put_after(0, 0, 1).is_err());
        cache.put(0, 0, 2).unwrap().fill(3.0);
        let (x, y) = cache.put_after(0, 0, 1).unwrap();
        assert_eq!((x, y.len()), (&[3.0f32; 4][..], 10));
        assert_eq!(cache.put_after(0, 0, 1).unwrap_err().to_string(), "cache slot 1 is full");
        assert!(cache.put_after(0, 1, 1).is_err());
        assert!(cache.put_after(0, 1, 0).is_err());
        assert_eq!(cache.rows(0, 1), Ok(2));
    });
}

#[test]
fn bytes_now_and_at_most() {
    with_cache(3, 4, |mut cache| {
        let forward = |cache: &mut Cache<'_, f32>, i, rows| {
            for layer in 0..3 {
                cache.put(i, layer, rows).unwrap();
            }
        };
        let backward = |cache: &mut Cache<'_, f32>, i| {
            for layer in (0..3).rev() {
                cache.take(i, layer).unwrap();
            }
        };
        assert_eq!((cache.bytes(), cache.peak_bytes()), (0, 0));
        // Two warm up, then one forward, one backward; the last microbatch is short.
        forward(&mut cache, 0, 4);
        forward(&mut cache, 1, 4);
        for i in 2..7 {
            forward(&mut cache, i, if i == 6 { 1 } else { 4 });
            assert_eq!(cache.bytes(), 4 * 8 * if i == 6 { 9 } else { 12 });
            backward(&mut cache, i - 2);
        }
        backward(&mut cache, 5);
        assert_eq!((cache.bytes(), cache.peak_bytes()), (4 * 8, 4 * 8 * 12));
        backward(&mut cache, 6);
        assert_eq!((cache.bytes(), cache.peak_bytes()), (0, 4 * 8 * 12));
    });
}

#[test]
fn memory_and_slots_must_suffice() {
    let mut memory = [0.0f32; 31];
    let mut slots = [Slot::EMPTY; 3];
    let width = |layer| WIDTHS[layer];
    let error = Cache::new(&mut memory, &mut slots, 3, 4, width).unwrap_err();
    assert_eq!(error.to_string(), "cache needs 32 values, but has 31");
    for (slots, layers) in [(&mut slots[..0], 3), (&mut [Slot::EMPTY; 4][..], 3), (&mut [][..], 0)] {
        let error = Cache::new(&mut memory, slots, layers, 1, width).unwrap_err();
        assert_eq!(error.to_string(), "slots must be as many as one microbatch has, or a multiple");
    }
    let error = Cache::new(&mut memory, &mut slots, 3, usize::MAX, width).unwrap_err();
    assert_eq!(error.to_string(), format!("cache needs {} values, but has 31", usize::MAX));
}
