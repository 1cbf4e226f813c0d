//! Sums over shards: the same tree for any number of workers.

use trine_core::Tree;

/// The tree as text, by the stack: each merge takes two and leaves one.
fn by_stack(leaves: std::ops::Range<usize>, tree: Tree) -> (String, usize) {
    let (mut stack, mut most) = (Vec::<String>::new(), 0);
    for (i, leaf) in leaves.enumerate() {
        stack.push(leaf.to_string());
        most = most.max(stack.len());
        for _ in 0..tree.merges_after(i) {
            let (right, left) = (stack.pop().expect("two"), stack.pop().expect("two"));
            stack.push(format!("({left}+{right})"));
        }
    }
    assert_eq!(stack.len(), 1);
    (stack.remove(0), most)
}

fn by_halves(from: usize, to: usize) -> String {
    match to - from {
        1 => from.to_string(),
        len => format!("({}+{})", by_halves(from, from + len / 2), by_halves(from + len / 2, to)),
    }
}

#[test]
fn the_stack_gives_the_tree_of_halves() {
    for leaves in 1..=40 {
        let tree = Tree::new(leaves).expect("positive");
        let (text, most) = by_stack(0..leaves, tree);
        assert_eq!(text, by_halves(0, leaves));
        assert_eq!(tree.depth(), most);
    }
    assert!(Tree::new(0).is_err());
}

#[test]
fn workers_own_subtrees() {
    for leaves in [1, 2, 4, 6, 8, 12, 16, 24] {
        let tree = Tree::new(leaves).expect("positive");
        for workers in [1, 2, 3, 4, 5, 6, 8] {
            let Ok(own) = tree.subtree(workers) else {
                assert!(!usize::is_power_of_two(workers) || leaves % workers != 0);
                continue;
            };
            let parts: Vec<_> =
                (0..workers).map(|w| by_stack(w * own.leaves()..(w + 1) * own.leaves(), own).0).collect();
            let above = Tree::new(workers).expect("positive");
            let mut stack: Vec<String> = Vec::new();
            for (i, part) in parts.into_iter().enumerate() {
                stack.push(part);
                for _ in 0..above.merges_after(i) {
                    let (right, left) = (stack.pop().expect("two"), stack.pop().expect("two"));
                    stack.push(format!("({left}+{right})"));
                }
            }
            assert_eq!(stack, [by_halves(0, leaves)], "{workers} workers");
        }
    }
}

#[test]
fn rows_are_cut_evenly() {
    for leaves in [1, 3, 4, 8] {
        let tree = Tree::new(leaves).expect("positive");
        for rows in [0, 1, 3, 29, 64, usize::MAX] {
            let mut next = 0;
            for leaf in 0..leaves {
                let range = tree.rows(rows, leaf);
                assert_eq!(range.start, next);
                assert!(range.len() == rows / leaves || range.len() == rows / leaves + 1);
                next = range.end;
            }
            assert_eq!(next, rows);
        }
    }
}
