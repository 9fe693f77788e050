//! What the operating system says about processes and the machine, from Linux's `/proc`.

use std::{fs, time::Duration};

/// The unit of CPU time in `/proc`: Linux fixes it at 1/100 s for programs.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of a process so far, and apart from it those of all its descendants.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) own: Duration,
    pub(crate) descendants: Duration,
}

impl Cpu {
    pub(crate) fn of(process: u32) -> Self {
        let own = Stat::of(process).map(|stat| stat.cpu).unwrap_or_default();
        Self { own, descendants: descendants(process).iter().map(|stat| stat.cpu).sum() }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            own: self.own.saturating_sub(before.own),
            descendants: self.descendants.saturating_sub(before.descendants),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Stat {
    process: u32,
    parent: u32,
    cpu: Duration,
}

impl Stat {
    fn of(process: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The program's name comes before, in parentheses, and may hold anything.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u32>().ok();
        Some(Self { process, parent: ticks(1)?, cpu: TICK * (ticks(11)? + ticks(12)?) })
    }
}

fn descendants(process: u32) -> Vec<Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<Stat> =
        entries.filter_map(|entry| Stat::of(entry.file_name().to_string_lossy().parse().ok()?)).collect();
    let mut family = vec![process];
    let mut found = Vec::new();
    while let Some(parent) = family.pop() {
        let children: Vec<Stat> = all.iter().filter(|stat| stat.parent == parent).copied().collect();
        family.extend(children.iter().map(|stat| stat.process));
        found.extend(children);
    }
    found
}

/// The memory of a process that is in RAM, in KiB.
pub(crate) fn memory(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    kib.unwrap_or_default()
}

/// The load averages of the last 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// Processor and kernel.
pub(crate) fn description() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = info.lines().filter_map(|line| line.strip_prefix("model name")).collect();
    let model = models.first().and_then(|model| model.split_once(':')).map_or("an unknown processor", |(_, name)| name);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} × {}, Linux {}", models.len().max(1), model.trim(), kernel.trim())
}

/// Lets this process, and those it starts, open as many files as it may.
pub(crate) fn raise_file_limit() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
}
