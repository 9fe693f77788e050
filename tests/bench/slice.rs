//! A slice of load: so many clients calling one after the other for a while, and what it cost.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    answer::Miss,
    caller::{Ask, Caller, Speech},
    link::PATIENCE,
    machine::{self, Cpu},
    process::Process,
};

/// How long a client waits after a failure before it tries again.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a gateway may take until it answers what it will be asked.
const READY: Duration = Duration::from_secs(10);

/// A server to be loaded, and how.
#[derive(Debug)]
pub(crate) struct Side {
    /// The process whose time and memory count.
    process: u32,
    address: SocketAddr,
    /// Tells its clients from those of others.
    label: &'static str,
    load: Load,
}

/// What clients do to a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) speech: Speech,
    pub(crate) ask: Ask,
    /// How many clients there are.
    pub(crate) callers: usize,
}

/// What a slice of load came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slice {
    pub(crate) calls: usize,
    /// Bytes of all answers.
    pub(crate) bytes: usize,
    pub(crate) cpu: Cpu,
    pub(crate) elapsed: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// KiB in RAM at the end.
    pub(crate) memory: f64,
    pub(crate) misses: Vec<Miss>,
}

#[derive(Debug, Default)]
struct Samples {
    latencies: Vec<Duration>,
    bytes: usize,
    misses: Vec<Miss>,
}

impl Side {
    pub(crate) fn new(label: &'static str, server: &Process, load: Load) -> Self {
        Self { process: server.id, address: server.address, label, load }
    }

    /// Connects the clients and lets them call for so long. Each time they are new ones: how the
    /// threads of a server share its connections among them is a matter of luck, and lasts.
    pub(crate) async fn load(&self, duration: Duration) -> Slice {
        let mut slice = Slice::default();
        let mut callers = Vec::new();
        for number in 0..self.load.callers {
            match Caller::open(self.address, self.load.speech, format!("{}-{number:03}", self.label)).await {
                Ok(caller) => callers.push(caller),
                Err(miss) => slice.misses.push(miss),
            }
        }
        let (began, before) = (Instant::now(), Cpu::of(self.process));
        let mut running = JoinSet::new();
        for caller in callers {
            running.spawn(drive(caller, self.load.ask, began + duration));
        }
        let (mut latencies, mut callers) = (Vec::new(), Vec::new());
        while let Some(Ok((caller, samples))) = running.join_next().await {
            callers.push(caller);
            latencies.extend(samples.latencies);
            slice.bytes += samples.bytes;
            slice.misses.extend(samples.misses);
        }
        slice.elapsed = began.elapsed();
        slice.cpu = Cpu::of(self.process).since(before);
        slice.memory = machine::memory(self.process);
        slice.calls = latencies.len();
        latencies.sort_unstable();
        slice.p50 = percentile(&latencies, 50);
        slice.p99 = percentile(&latencies, 99);
        for caller in callers {
            slice.misses.extend(caller.close().await.err());
        }
        slice
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
}

async fn drive(mut caller: Caller, ask: Ask, until: Instant) -> (Caller, Samples) {
    let mut samples = Samples::default();
    loop {
        let began = Instant::now();
        if began >= until {
            return (caller, samples);
        }
        match timeout(PATIENCE, caller.perform(ask)).await.unwrap_or_else(|late| Err(late.into())) {
            Ok(bytes) => {
                samples.latencies.push(began.elapsed());
                samples.bytes += bytes;
            }
            Err(miss) => {
                samples.misses.push(miss);
                sleep(PAUSE).await;
                if let Ok(again) = caller.again().await {
                    caller = again;
                }
            }
        }
    }
}

/// Waits until a server answers what will be asked of it, and says why if it does not.
pub(crate) async fn ready(server: &Process, speech: Speech, ask: Ask) -> Result<(), String> {
    let until = Instant::now() + READY;
    loop {
        let tried = timeout(PATIENCE, async {
            Caller::open(server.address, speech, "probe".to_owned()).await?.perform(ask).await
        });
        match tried.await.unwrap_or_else(|late| Err(late.into())) {
            Ok(_) => return Ok(()),
            Err(miss) if Instant::now() >= until => {
                return Err(server.complaint().map_or_else(|| miss.to_string(), |said| format!("{said}; {miss}")));
            }
            Err(_) => sleep(PAUSE * 5).await,
        }
    }
}
