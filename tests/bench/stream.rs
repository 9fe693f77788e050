//! What many readers of the stream cost while a connector changes all the time, and whether each is told the last state.
//!
//! ```sh
//! cargo bench --bench stream                            # 2,000 readers, 20 seconds
//! cargo bench --bench stream -- --readers 500 --seconds 5 --binary target/dist/switchboard
//! ```

use std::{
    error::Error,
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Parser;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};

mod machine;
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod process;

use machine::{Cpu, description, load, memory};
use process::{Process, gateway};

/// Why something could not be done.
type Fault = Box<dyn Error + Send + Sync>;

/// A connector changes this often.
const FLAP: Duration = Duration::from_millis(500);
/// When nothing changes any more, everybody knows the last state after this long.
const SETTLED: Duration = Duration::from_secs(20);

#[derive(Debug, Parser)]
struct Options {
    /// Readers at once
    #[arg(long, default_value_t = 2000)]
    readers: usize,
    /// How long a connector changes, in seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Connectors in all
    #[arg(long, default_value_t = 10)]
    connectors: usize,
    /// The program to measure
    #[arg(long, default_value = env!("CARGO_BIN_EXE_switchboard"))]
    binary: PathBuf,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// What a reader was told.
#[derive(Debug, Default)]
struct Told {
    events: AtomicU64,
    bytes: AtomicU64,
    last: Mutex<Vec<u8>>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            let _ = writeln!(io::stderr(), "stream: {fault}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(options: Options) -> Result<(), Fault> {
    machine::raise_file_limit();
    let folder = TempDir::new()?;
    for at in 0..options.connectors {
        write(&folder, at, 0)?;
    }
    let mut command = gateway(&options.binary, folder.path());
    command.env("CONNECTORS_SIGNATURE_KEY", "a key for the benchmark");
    let server = Process::start(command).await?;
    let resting = memory(server.id) / 1024.0;

    let told: Vec<Arc<Told>> = (0..options.readers).map(|_| Arc::default()).collect();
    let mut readers = JoinSet::new();
    for told in &told {
        readers.spawn(read(server.address, Arc::clone(told)));
        sleep(Duration::from_micros(500)).await;
    }
    until(|| told.iter().all(|told| told.events.load(Ordering::Relaxed) > 0), "the first event of each").await?;

    let (before, started) = (Cpu::of(server.id), Instant::now());
    let events = || told.iter().map(|told| told.events.load(Ordering::Relaxed)).sum::<u64>();
    let bytes = || told.iter().map(|told| told.bytes.load(Ordering::Relaxed)).sum::<u64>();
    let (events_before, bytes_before) = (events(), bytes());
    let mut turn = 0;
    while started.elapsed() < Duration::from_secs(options.seconds) {
        turn += 1;
        write(&folder, 0, turn)?;
        sleep(FLAP).await;
    }
    let (cpu, took) = (Cpu::of(server.id).since(before), started.elapsed());
    let (events, bytes, full) = (events() - events_before, bytes() - bytes_before, memory(server.id) / 1024.0);

    let last = format!("0.0.{turn}");
    let knows = |told: &Arc<Told>| contains(&told.last.lock().unwrap_or_else(PoisonError::into_inner), &last);
    until(|| told.iter().all(knows), "that each reader knows the last state").await?;
    let newest = |told: &Arc<Told>| id_of(&told.last.lock().unwrap_or_else(PoisonError::into_inner));
    until(
        || told.windows(2).all(|two| matches!(two, [one, other] if newest(one) == newest(other))),
        "that all know the same event",
    )
    .await?;

    let mut out = io::stdout().lock();
    writeln!(out, "{}; load {}", description(), load())?;
    writeln!(
        out,
        "{} readers, {} connectors, one of which changed {turn} times in {took:.1?}",
        options.readers, options.connectors
    )?;
    let each = events.checked_div(options.readers as u64).unwrap_or_default();
    writeln!(out, "events sent: {events} ({each} to each), {} MB", bytes / 1_000_000)?;
    writeln!(
        out,
        "CPU of the server: {:.2?}, {:.1?} for each event sent",
        cpu.own,
        cpu.own.checked_div(u32::try_from(events)?).unwrap_or_default()
    )?;
    writeln!(out, "memory of the server: {full:.1} MiB, {resting:.1} MiB before anybody read")?;
    writeln!(out, "every reader's last event is the server's last state")?;
    drop(out);
    readers.shutdown().await;
    server.kill().await;
    Ok(())
}

/// Writes a connector whole, the way editors do.
fn write(folder: &TempDir, at: usize, turn: usize) -> io::Result<()> {
    let tool = json!({ "name": "greet", "description": "Use this to greet.", "run": { "args": ["hello"] } });
    let manifest = json!({
        "id": format!("connector-{at}"),
        "name": format!("Connector {at}"),
        "version": format!("0.0.{turn}"),
        "adapter": { "kind": "command", "program": "printf" },
        "tools": [tool],
    });
    let draft = folder.path().join(format!("{at}.draft"));
    fs::write(&draft, manifest.to_string())?;
    fs::rename(draft, folder.path().join(format!("{at}.json")))
}

/// Follows the stream, and keeps the last event.
async fn read(address: SocketAddr, told: Arc<Told>) -> io::Result<()> {
    let mut connection = TcpStream::connect(address).await?;
    let ask = format!("GET /v1/connectors/stream HTTP/1.1\r\nHost: {address}\r\n\r\n");
    connection.write_all(ask.as_bytes()).await?;
    let mut held = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        let length = connection.read(&mut piece).await?;
        let Some(piece) = piece.get(..length).filter(|piece| !piece.is_empty()) else { return Ok(()) };
        told.bytes.fetch_add(length as u64, Ordering::Relaxed);
        held.extend_from_slice(piece);
        while let Some(end) = held.windows(2).position(|pair| pair == b"\n\n") {
            let rest = held.split_off(end + 2);
            let event = std::mem::replace(&mut held, rest);
            *told.last.lock().unwrap_or_else(PoisonError::into_inner) = event;
            told.events.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn contains(event: &[u8], words: &str) -> bool {
    event.windows(words.len()).any(|window| window == words.as_bytes())
}

fn id_of(event: &[u8]) -> String {
    let text = String::from_utf8_lossy(event);
    text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap_or_default().to_owned()
}

async fn until(condition: impl Fn() -> bool, what: &str) -> Result<(), Fault> {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > SETTLED {
            return Err(format!("waited in vain for {what}").into());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
