//! Schedules are proved, and what is wrong with one is found.

use trine_core::schedule::check::{Costs, Fault, Mark, Place, Report, prove, run};
use trine_core::schedule::{Instruction, Instruction::*, Policy, Schedule};

fn proved(schedule: &Schedule, costs: Costs) -> Result<Report, Fault> {
    let mut places: Vec<_> = (0..schedule.stages()).map(|stage| Place::new(schedule.worker(stage))).collect();
    let mut marks = vec![Mark::default(); schedule.stages() * schedule.microbatches()];
    prove(schedule, &mut places, &mut marks, costs)
}

#[test]
fn every_schedule_is_proved() {
    for policy in Policy::ALL {
        for stages in 1..=9 {
            for microbatches in 1..=20 {
                for replicas in [1, 2] {
                    let schedule = Schedule::new(policy, stages, microbatches, replicas).expect("positive");
                    for (forward, backward) in [(1, 1), (1, 2), (3, 5)] {
                        for capacity in [1, 2, microbatches] {
                            let report = proved(&schedule, Costs { forward, backward, capacity });
                            assert!(
                                report.is_ok(),
                                "{schedule:?}, {forward}:{backward}, {capacity}: {report:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}

/// The table of docs/PARALLEL.md, line by line.
#[test]
fn the_table_of_the_documentation_is_the_checkers() {
    let text = include_str!("../../docs/PARALLEL.md");
    let mut lines = 0;
    for policy in Policy::ALL {
        for (stages, microbatches) in [(2, 4), (4, 4), (4, 8), (4, 16), (8, 32)] {
            let schedule = Schedule::new(policy, stages, microbatches, 1).expect("positive");
            let Report { makespan, idle, in_flight } =
                proved(&schedule, Costs { forward: 1, backward: 2, capacity: 1 }).expect("proved");
            let bubble = 100.0 * idle as f64 / (makespan * stages as u64) as f64;
            let (part, whole) = schedule.bubble();
            let name = policy.name();
            let line = format!(
                "| {name} | {stages} | {microbatches} | {part}/{whole} | {bubble:.1} % | {in_flight} |"
            );
            println!("{line}");
            assert!(text.contains(&line), "{line}");
            lines += 1;
        }
    }
    assert_eq!(lines, 15);
}

#[test]
fn one_forward_one_backward_reads_as_in_the_paper() {
    let schedule = Schedule::new(Policy::OneForwardOneBackward, 4, 6, 1).expect("positive");
    let passes = |stage| -> String {
        let one = |instruction| match instruction {
            Forward(i) => Some(format!("F{i} ")),
            Backward { microbatch, .. } => Some(format!("B{microbatch} ")),
            _ => None,
        };
        schedule.worker(stage).filter_map(one).collect()
    };
    assert_eq!(passes(0), "F0 F1 F2 F3 B0 F4 B1 F5 B2 B3 B4 B5 ");
    assert_eq!(passes(2), "F0 F1 B0 F2 B1 F3 B2 F4 B3 F5 B4 B5 ");
    assert_eq!(passes(3), "F0 B0 F1 B1 F2 B2 F3 B3 F4 B4 F5 B5 ");
}

#[test]
fn instructions_of_one_worker_and_of_two() {
    let one = Schedule::new(Policy::Naive, 1, 1, 2).expect("positive");
    let expected = [
        ZeroGrad,
        LoadInput(0),
        Forward(0),
        LoadTarget(0),
        Backward { microbatch: 0, reduce: true },
        OptimizerStep,
    ];
    assert!(one.worker(0).eq(expected));
    let two = Schedule::new(Policy::GPipe, 2, 1, 1).expect("positive");
    let backward = Backward { microbatch: 0, reduce: false };
    let first =
        [ZeroGrad, LoadInput(0), Forward(0), SendActivation(0), RecvGradient(0), backward, OptimizerStep];
    assert!(two.worker(0).eq(first));
    let second =
        [ZeroGrad, RecvActivation(0), Forward(0), LoadTarget(0), backward, SendGradient(0), OptimizerStep];
    assert!(two.worker(1).eq(second));
    for (stages, microbatches, replicas) in [(0, 1, 1), (1, 0, 1), (1, 1, 0)] {
        assert!(Schedule::new(Policy::Naive, stages, microbatches, replicas).is_err());
    }
}

/// The programs of two stages with two microbatches, to be damaged.
fn programs() -> [Vec<Instruction>; 2] {
    let schedule = Schedule::new(Policy::GPipe, 2, 2, 1).expect("positive");
    [0, 1].map(|stage| schedule.worker(stage).collect())
}

fn fault(programs: &[Vec<Instruction>; 2]) -> Option<Fault> {
    let mut places: Vec<_> = programs.iter().map(|program| Place::new(program.iter().copied())).collect();
    let mut marks = [Mark::default(); 4];
    run(&mut places, &mut marks, 2, Costs { forward: 1, backward: 1, capacity: 1 }).err()
}

fn index(program: &[Instruction], instruction: Instruction) -> usize {
    program.iter().position(|&other| other == instruction).expect("in the program")
}

#[test]
fn every_instruction_left_out_is_found() {
    assert_eq!(fault(&programs()), None);
    for worker in 0..2 {
        for i in 0..programs()[worker].len() {
            let mut damaged = programs();
            let left_out = damaged[worker].remove(i);
            assert!(fault(&damaged).is_some(), "worker {worker} without `{left_out}`");
        }
    }
}

#[test]
fn every_instruction_doubled_is_found() {
    for worker in 0..2 {
        for i in 0..programs()[worker].len() {
            let mut damaged = programs();
            let doubled = damaged[worker][i];
            damaged[worker].insert(i, doubled);
            assert!(fault(&damaged).is_some(), "worker {worker} with two of `{doubled}`");
        }
    }
}

#[test]
fn faults_say_what_is_wrong() {
    let backward = |microbatch| Backward { microbatch, reduce: false };
    let mut damaged = programs();
    damaged[0].retain(|&instruction| instruction != SendActivation(1));
    let expected = Fault::Deadlock { worker: 0, at: RecvGradient(0) };
    // Worker 1 waits for the activation, worker 0 for the gradient.
    assert_eq!(fault(&damaged), Some(expected));
    assert_eq!(expected.to_string(), "deadlock: worker 0 waits at `receive gradient 0`");

    let mut damaged = programs();
    let (a, b) = (index(&damaged[0], SendActivation(0)), index(&damaged[0], RecvGradient(0)));
    let send = damaged[0].remove(a);
    damaged[0].insert(b, send);
    assert!(matches!(fault(&damaged), Some(Fault::Order { worker: 1, .. } | Fault::Deadlock { .. })));

    let mut damaged = programs();
    let (a, b) = (index(&damaged[1], backward(0)), index(&damaged[1], Forward(0)));
    damaged[1].swap(a, b);
    let why = "its forward has not been done";
    assert_eq!(fault(&damaged), Some(Fault::Order { worker: 1, at: backward(0), why }));
}

/// Two workers that fill each other's channels before they empty their own.
#[test]
fn a_circle_over_full_channels_is_a_deadlock() {
    let mut damaged = programs();
    // Worker 1 takes its activations only after all forwards of worker 0, of which the channel holds one.
    let a = index(&damaged[0], Forward(1));
    damaged[0].insert(a, RecvGradient(0));
    let again = damaged[0].iter().rposition(|&i| i == RecvGradient(0)).expect("there");
    damaged[0].remove(again);
    assert!(matches!(fault(&damaged), Some(Fault::Deadlock { worker: 0, at: RecvGradient(0) })));
}

/// A schedule that keeps its promises is not enough: what it states has to be what it does.
#[test]
fn a_wrong_statement_is_found() {
    let schedule = Schedule::new(Policy::GPipe, 3, 4, 1).expect("positive");
    let mut places: Vec<_> = (0..2).map(|stage| Place::new(schedule.worker(stage))).collect();
    let mut marks = vec![Mark::default(); 12];
    let costs = Costs { forward: 1, backward: 1, capacity: 1 };
    assert!(matches!(prove(&schedule, &mut places, &mut marks, costs), Err(Fault::Memory(_))));
    let mut places: Vec<_> = (0..3).map(|stage| Place::new(schedule.worker(stage))).collect();
    assert!(matches!(prove(&schedule, &mut places, &mut marks[..9], costs), Err(Fault::Memory(_))));
}

/// Was wrong: the product wrapped around to the length of the marks, and one beyond them was read.
#[test]
fn more_microbatches_than_marks_can_count_are_refused() {
    let schedule = Schedule::new(Policy::GPipe, 2, 3, 1).expect("positive");
    let mut places: Vec<_> = (0..2).map(|stage| Place::new(schedule.worker(stage))).collect();
    let costs = Costs { forward: 1, backward: 1, capacity: 9 };
    let refused = run(&mut places, &mut [], 1 << (usize::BITS - 1), costs);
    assert!(matches!(refused, Err(Fault::Memory(_))), "{refused:?}");
}

/// Was wrong: clocks, and their sum over the workers, went beyond their last number.
#[test]
fn times_beyond_any_clock_are_refused() {
    let schedule = Schedule::new(Policy::GPipe, 3, 4, 1).expect("positive");
    for time in [u64::MAX, u64::MAX / 2, u64::MAX / 20] {
        let refused = proved(&schedule, Costs { forward: time, backward: time, capacity: 9 });
        assert!(matches!(refused, Err(Fault::Time { .. })), "{time}: {refused:?}");
    }
    assert!(proved(&schedule, Costs { forward: 1 << 58, backward: 1 << 58, capacity: 9 }).is_ok());
}
