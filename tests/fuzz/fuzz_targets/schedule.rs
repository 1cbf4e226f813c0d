//! Schedules: those that the library makes are proved; any other instructions, times and channels give a
//! report or a fault.
#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use trine_core::schedule::check::{Costs, Mark, Place, prove, run};
use trine_core::schedule::{Instruction, Policy, Schedule};
use trine_fuzz::length;

fn instruction(u: &mut Unstructured<'_>) -> Result<Instruction> {
    let i = u.int_in_range(0..=5usize)?;
    Ok(match u.int_in_range(0..=10u8)? {
        0 => Instruction::ZeroGrad,
        1 => Instruction::LoadInput(i),
        2 => Instruction::LoadTarget(i),
        3 => Instruction::Forward(i),
        4 => Instruction::Backward { microbatch: i, reduce: bool::arbitrary(u)? },
        5 => Instruction::SendActivation(i),
        6 => Instruction::RecvActivation(i),
        7 => Instruction::SendGradient(i),
        8 => Instruction::RecvGradient(i),
        9 => Instruction::OptimizerStep,
        _ => Instruction::Forward(length(u)?),
    })
}

/// The lists of a good schedule, with some instructions changed.
fn nearly(u: &mut Unstructured<'_>, schedule: &Schedule) -> Result<Vec<Vec<Instruction>>> {
    let mut workers: Vec<Vec<_>> =
        (0..schedule.stages()).map(|stage| schedule.worker(stage).collect()).collect();
    for _ in 0..u.int_in_range(0..=4u8)? {
        let worker = u.choose_index(workers.len())?;
        let list = &mut workers[worker];
        let at = u.choose_index(list.len() + 1)?;
        match u.int_in_range(0..=2u8)? {
            0 => list.insert(at, instruction(u)?),
            1 if at < list.len() => drop(list.remove(at)),
            _ if at < list.len() => list[at] = instruction(u)?,
            _ => {}
        }
        if list.is_empty() {
            break;
        }
    }
    Ok(workers)
}

fn schedules(bytes: &[u8]) -> Result<()> {
    let u = &mut Unstructured::new(bytes);
    let policy = *u.choose(&Policy::ALL)?;
    let [stages, microbatches, replicas] = [0; 3].map(|_| u.int_in_range(0..=6usize).unwrap_or(1));
    let Ok(schedule) = Schedule::new(policy, stages, microbatches, replicas) else {
        assert!(stages == 0 || microbatches == 0 || replicas == 0);
        return Ok(());
    };
    let large = bool::arbitrary(u)?;
    let mut cost = || if large { u64::arbitrary(u) } else { u.int_in_range(1..=9) };
    let costs = Costs { forward: cost()?, backward: cost()?, capacity: length(u)? };
    let mut places: Vec<_> = (0..stages).map(|stage| Place::new(schedule.worker(stage))).collect();
    let mut marks = vec![Mark::default(); stages * microbatches];
    let proved = prove(&schedule, &mut places, &mut marks, costs);
    if !large && costs.capacity > microbatches {
        assert!(proved.is_ok(), "{schedule:?} {costs:?}: {proved:?}");
    }

    let workers = nearly(u, &schedule)?;
    let unchanged = workers.iter().enumerate().all(|(i, list)| schedule.worker(i).eq(list.iter().copied()));
    let mut places: Vec<_> = workers.iter().map(|list| Place::new(list.iter().copied())).collect();
    let ran = run(&mut places, &mut marks, microbatches, costs);
    if let (Ok(report), Ok(proof), true) = (&ran, &proved, unchanged) {
        assert_eq!(report, proof);
    }
    if u.is_empty() {
        return Ok(());
    }
    // Numbers that do not fit together.
    let wrong = length(u)?;
    let _ = run(&mut places, &mut marks, wrong, costs);
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let _ = schedules(bytes);
});
