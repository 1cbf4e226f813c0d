//! What is tried for each choice of the plan, and where it can be seen.

use trine_core::Shape;
use trine_kernels::{Choice, Op};

/// An operation at a shape.
pub type Place = (Op, Shape);

const fn at(op: Op, n: usize, d: usize, m: usize) -> Place {
    (op, Shape { n, d, m })
}

/// Other values than `now`, on both sides of it.
pub fn candidates(choice: Choice, now: usize) -> Vec<usize> {
    let times: &[(usize, usize)] = match choice {
        Choice::Mc => &[(1, 4), (1, 2), (2, 1)],
        Choice::Nc | Choice::CopyBTiles => &[(1, 2), (3, 2), (2, 1), (4, 1)],
        Choice::CopyAStrips => &[(1, 3), (2, 3), (2, 1)],
        _ => &[(1, 8), (1, 4), (1, 2), (2, 1), (4, 1)],
    };
    let mut values: Vec<_> = times.iter().map(|(up, down)| now.saturating_mul(*up) / down).collect();
    values.retain(|&value| value != now && value > 0);
    values.dedup();
    values
}

/// Shapes on both sides of where the choice decides, with the defaults of today's caches.
pub fn places(choice: Choice) -> &'static [Place] {
    const MC: &[Place] = &[at(Op::GradParams, 512, 1024, 512), at(Op::GradParams, 256, 4096, 128)];
    const NC: &[Place] =
        &[at(Op::GradInput, 64, 784, 512), at(Op::Forward, 512, 512, 512), at(Op::GradInput, 256, 1024, 512)];
    const COPY_A: &[Place] = &[
        at(Op::GradParams, 32, 256, 256),
        at(Op::GradParams, 64, 784, 128),
        at(Op::GradParams, 512, 128, 512),
        at(Op::GradParams, 512, 512, 512),
    ];
    const COPY_B: &[Place] = &[
        at(Op::Forward, 128, 512, 512),
        at(Op::Forward, 256, 784, 512),
        at(Op::Forward, 512, 256, 256),
        at(Op::Forward, 512, 512, 512),
    ];
    const STREAM: &[Place] = &[
        at(Op::Forward, 1, 128, 128),
        at(Op::Forward, 1, 512, 512),
        at(Op::Forward, 2, 512, 512),
        at(Op::Forward, 1, 1024, 1024),
        // From memory: what is best in the caches may not be here.
        at(Op::Forward, 1, 4096, 4096),
    ];
    const SMALL: &[Place] = &[
        at(Op::Forward, 16, 64, 32),
        at(Op::Forward, 37, 53, 41),
        at(Op::GradInput, 64, 64, 32),
        at(Op::Forward, 64, 64, 64),
        at(Op::GradParams, 64, 64, 64),
    ];
    const THREADS: &[Place] = &[
        at(Op::Forward, 64, 64, 128),
        at(Op::Forward, 64, 128, 256),
        at(Op::Backward, 64, 128, 128),
        at(Op::Forward, 128, 256, 256),
    ];
    match choice {
        Choice::Mc => MC,
        Choice::Nc => NC,
        Choice::CopyABytes | Choice::CopyAStrips => COPY_A,
        Choice::CopyBBytes | Choice::CopyBTiles => COPY_B,
        Choice::StreamBytes => STREAM,
        Choice::Small => SMALL,
        Choice::ThreadWork => THREADS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_is_something_else() {
        for choice in Choice::ALL {
            for now in [1, 6, 16, 48, 1 << 20, usize::MAX] {
                let values = candidates(choice, now);
                assert!(!values.contains(&now) && !values.contains(&0), "{choice:?}: {values:?}");
                assert!(values.windows(2).all(|pair| pair[0] != pair[1]) && !values.is_empty(), "{values:?}");
            }
            assert!(places(choice).len() > 1);
        }
    }
}
