//! What the program runs on.

use serde::{Deserialize, Serialize};

/// The machine, as far as a report needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's own name, or the architecture where it has none.
    pub cpu: String,
    /// The architecture this program was built for.
    pub arch: String,
    /// Cores that this process may use.
    pub cores: usize,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let arch = std::env::consts::ARCH.to_string();
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Machine { cpu: model_name(&info).unwrap_or_else(|| arch.clone()), arch, cores }
    }
}

/// The first `model name` of Linux's `/proc/cpuinfo`.
fn model_name(info: &str) -> Option<String> {
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    let name = line.split_once(':')?.1.split_whitespace().collect::<Vec<_>>().join(" ");
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_name() {
        let info = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: A  CPU @ 3 GHz\nflags : x\n";
        assert_eq!(model_name(info).as_deref(), Some("A CPU @ 3 GHz"));
        assert_eq!(model_name("processor : 0\n"), None);
        assert!(!Machine::this().cpu.is_empty() && Machine::this().cores > 0);
    }
}
