//! What the program runs on.

use std::fs::read_to_string;
use std::path::Path;

use serde::{Deserialize, Serialize};
use trine_kernels::Caches;

use crate::table::counted;

/// The machine, as far as a report needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's own name, or the architecture where it has none.
    pub cpu: String,
    /// The architecture this program was built for.
    pub arch: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// The operating system, with the version of its kernel where that is known.
    #[serde(default)]
    pub os: String,
    /// Caches for data, the first level first.
    #[serde(default)]
    pub caches: Vec<Cache>,
}

/// A level of the caches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// `L1`, `L2`, `L3`.
    pub name: String,
    /// Its size.
    pub bytes: usize,
    /// Whether all cores share it, or else each has its own.
    pub shared: bool,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let arch = std::env::consts::ARCH.to_string();
        let info = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let release = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            cpu: model_name(&info).unwrap_or_else(|| arch.clone()),
            arch,
            cores,
            os: format!("{} {}", std::env::consts::OS, release.trim()).trim_end().into(),
            caches: caches(Path::new("/sys/devices/system/cpu/cpu0/cache")),
        }
    }
}

impl Machine {
    /// In one line.
    pub fn line(&self) -> String {
        format!("{}, {}", self.cpu, counted(self.cores, "core"))
    }
}

/// Bytes that a program can have without taking them from others, where Linux says so.
pub fn available_memory() -> Option<u64> {
    let info = read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// The first `model name` of Linux's `/proc/cpuinfo`.
fn model_name(info: &str) -> Option<String> {
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    let name = line.split_once(':')?.1.split_whitespace().collect::<Vec<_>>().join(" ");
    (!name.is_empty()).then_some(name)
}

/// As Linux lists them, or else as the processor does.
fn caches(folder: &Path) -> Vec<Cache> {
    let listed: Vec<_> =
        (0..8).filter_map(|index| linux_cache(&folder.join(format!("index{index}")))).collect();
    if !listed.is_empty() {
        return listed;
    }
    let Caches { l1, l2, l3 } = Caches::detect();
    let levels = [("L1", l1, false), ("L2", l2, false), ("L3", l3, true)];
    levels.map(|(name, bytes, shared)| Cache { name: name.into(), bytes, shared }).into()
}

/// One folder of Linux's list, unless it is for instructions. Two processors may be one core; and the
/// third level is shared even if a single core of many is left.
fn linux_cache(folder: &Path) -> Option<Cache> {
    let read = |name: &str| Some(read_to_string(folder.join(name)).ok()?.trim().to_string());
    let (level, size) = (read("level")?.parse::<u32>().ok()?, read("size")?);
    let bytes = match size.split_at_checked(size.len().checked_sub(1)?)? {
        (digits, "K") => digits.parse::<usize>().ok()? << 10,
        (digits, "M") => digits.parse::<usize>().ok()? << 20,
        _ => size.parse().ok()?,
    };
    (read("type")? != "Instruction" && bytes > 0).then(|| Cache {
        name: format!("L{level}"),
        bytes,
        shared: level > 2 || read("shared_cpu_list").is_some_and(|cpus| count(&cpus) > 2),
    })
}

/// How many processors a list such as `0-3,8` has.
fn count(cpus: &str) -> usize {
    let of = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<usize>().ok()?.saturating_sub(first.parse().ok()?) + 1)
    };
    cpus.split(',').filter_map(of).sum()
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

    #[test]
    fn reads_caches_as_linux_lists_them() {
        let folder = std::env::temp_dir().join(format!("trine-caches-{}", std::process::id()));
        for (i, (level, kind, size, cpus)) in
            [("1", "Data", "48K", "0"), ("1", "Instruction", "32K", "0"), ("3", "Unified", "2M", "0-3")]
                .into_iter()
                .enumerate()
        {
            let index = folder.join(format!("index{i}"));
            std::fs::create_dir_all(&index).expect("a folder");
            for (name, text) in [("level", level), ("type", kind), ("size", size), ("shared_cpu_list", cpus)]
            {
                std::fs::write(index.join(name), format!("{text}\n")).expect("a file");
            }
        }
        let cache = |name: &str, bytes, shared| Cache { name: name.into(), bytes, shared };
        assert_eq!(caches(&folder), [cache("L1", 48 << 10, false), cache("L3", 2 << 20, true)]);
        std::fs::remove_dir_all(&folder).expect("written");
        // No list: three levels all the same.
        assert_eq!(caches(&folder).len(), 3);
        assert!(!Machine::this().caches.is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn some_memory_is_free() {
        assert!(available_memory().is_some_and(|bytes| bytes > 1 << 20 && bytes < 1 << 50));
    }

    #[test]
    fn counts_processors() {
        assert_eq!((count("0"), count("0,64"), count("0-3,8"), count("")), (1, 2, 5, 0));
    }
}
