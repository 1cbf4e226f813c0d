//! Views of any shape and strides, cut and transposed: accepted just where a search over all elements
//! says so, and every element is the one that it should be.
#![no_main]

use std::collections::HashSet;

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use trine_core::{MatMut, MatRef};
use trine_fuzz::length;

/// Elements of the slice at most, and of a view that is searched.
const MOST: usize = 2000;

/// Where the elements of a view should be, row by row; `None` if one is beyond the slice.
type Model = Option<Vec<Vec<usize>>>;

fn model(rows: usize, cols: usize, row_stride: usize, col_stride: usize, len: usize) -> Model {
    let at = |i: usize, j: usize| {
        let place = i.checked_mul(row_stride)?.checked_add(j.checked_mul(col_stride)?)?;
        (place < len).then_some(place)
    };
    // The last element is the farthest, so that a huge view is refused without a search.
    at(rows - 1, cols - 1)?;
    if rows.checked_mul(cols)? > MOST {
        return None;
    }
    (0..rows).map(|i| (0..cols).map(|j| at(i, j)).collect()).collect()
}

fn same(view: MatRef<'_, u32>, model: &[Vec<usize>], cols: usize) {
    assert_eq!((view.nrows(), view.ncols()), (model.len(), cols));
    for (i, row) in model.iter().enumerate() {
        for (j, &place) in row.iter().enumerate() {
            assert_eq!(view.at(i, j) as usize, place);
        }
    }
}

/// Cuts and turns a view, and the model with it.
fn cut<'a>(
    u: &mut Unstructured<'_>,
    mut view: MatRef<'a, u32>,
    mut write: MatMut<'_, u32>,
    mut model: Vec<Vec<usize>>,
    mut cols: usize,
) -> Result<()> {
    for _ in 0..u.int_in_range(0..=6u8)? {
        let (from, to) = (u.int_in_range(0..=44usize)?, u.int_in_range(0..=44usize)?);
        match u.int_in_range(0..=2u8)? {
            0 => {
                (view, write) = (view.t(), write.t());
                let rows = model.len();
                model = (0..cols).map(|j| model.iter().map(|row| row[j]).collect()).collect();
                cols = rows;
            }
            1 => {
                let fits = from <= to && to <= model.len();
                assert_eq!(view.rows(from..to).is_ok(), fits);
                assert_eq!(write.reborrow().rows(from..to).is_ok(), fits);
                if fits {
                    view = view.rows(from..to).expect("just accepted");
                    write = write.rows(from..to).expect("just accepted");
                    model = model[from..to].to_vec();
                }
            }
            _ => {
                let fits = from <= to && to <= cols;
                assert_eq!(view.cols(from..to).is_ok(), fits);
                assert_eq!(write.reborrow().cols(from..to).is_ok(), fits);
                if fits {
                    view = view.cols(from..to).expect("just accepted");
                    write = write.cols(from..to).expect("just accepted");
                    model.iter_mut().for_each(|row| *row = row[from..to].to_vec());
                    cols = to - from;
                }
            }
        }
        same(view, &model, cols);
        same(write.as_ref(), &model, cols);
    }
    Ok(())
}

fn views(bytes: &[u8]) -> Result<()> {
    let u = &mut Unstructured::new(bytes);
    let len = usize::from(u16::arbitrary(u)?) % MOST;
    let data: Vec<u32> = (0..len as u32).collect();
    let mut other = data.clone();
    let (rows, cols, rs, cs) = (length(u)?, length(u)?, length(u)?, length(u)?);
    let view = MatRef::with_strides(&data, rows, cols, rs, cs);
    let write = MatMut::with_strides(&mut other, rows, cols, rs, cs);
    if rows == 0 || cols == 0 {
        assert!(view.is_ok() && write.is_ok());
        return Ok(());
    }
    let Some(model) = model(rows, cols, rs, cs, len) else {
        // Beyond the slice, or more elements than it has.
        assert!(write.is_err());
        return Ok(());
    };
    let view = view.expect("every element is in the slice");
    same(view, &model, cols);
    let mut seen = HashSet::new();
    let distinct = model.iter().flatten().all(|place| seen.insert(*place));
    assert_eq!(write.is_ok(), distinct);
    let Ok(write) = write else { return Ok(()) };
    cut(u, view, write, model, cols)
}

fuzz_target!(|bytes: &[u8]| {
    let _ = views(bytes);
});
