//! What becomes of `OpenAPI` documents, and what that costs: one line for each document in a folder.
//!
//! ```sh
//! cargo bench --bench openapi -- FOLDER…           # a table
//! cargo bench --bench openapi -- --skips FOLDER…   # and why operations became no tools
//! ```
//!
//! Each document is converted in a process of its own, so that its memory is its own.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use switchboard::manifest::OpenApiSettings;
use switchboard::openapi::{self, ApiTool, Converted, Source};

/// Says that this process measures one document.
const ONE: &str = "__one";

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [mark, file] = arguments.as_slice()
        && mark == ONE
    {
        return Ok(writeln!(io::stdout(), "{}", measure(Path::new(file))?)?);
    }
    let mut files = Vec::new();
    for folder in arguments.iter().filter(|argument| !argument.starts_with("--")) {
        find(Path::new(folder), &mut files)?;
    }
    files.sort();
    if files.is_empty() {
        return Err("name a folder of OpenAPI documents".into());
    }
    let measured: Vec<(PathBuf, Result<Value, Failure>)> =
        files.into_iter().map(|file| (file.clone(), in_a_process(&file))).collect();
    let mut out = io::stdout();
    writeln!(out, "{}", table(&measured))?;
    if arguments.iter().any(|argument| argument == "--skips") {
        for (file, measured) in &measured {
            let reasons = measured.as_ref().ok().and_then(|it| it["skips"].as_object());
            for (reason, times) in reasons.into_iter().flatten() {
                writeln!(out, "{}: {times} × {reason}", name(file))?;
            }
        }
    }
    Ok(())
}

/// The documents in a folder, however deep.
fn find(at: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if at.is_dir() {
        for entry in fs::read_dir(at)? {
            find(&entry?.path(), files)?;
        }
    } else if at.extension().is_some_and(|ending| ending == "json" || ending == "yaml" || ending == "yml") {
        files.push(at.to_owned());
    }
    Ok(())
}

fn in_a_process(file: &Path) -> Result<Value, Failure> {
    let output = Command::new(env::current_exe()?).arg(ONE).arg(file).output()?;
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout)?)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into())
    }
}

fn measure(file: &Path) -> Result<Value, Failure> {
    let settings: OpenApiSettings = serde_json::from_value(json!({ "spec": "-" }))?;
    let text = fs::read_to_string(file)?;
    let started = spent()?;
    let document = openapi::parse(&text)?;
    let parsed = spent()? - started;
    let others = BTreeMap::new();
    let started = spent()?;
    let converted = openapi::convert(&Source { document: &document, at: None, others: &others }, &settings)?;
    let took = spent()? - started;
    let peak = peak()?;
    let mut sizes: Vec<usize> = converted.tools.iter().map(bytes).collect();
    sizes.sort_unstable();
    let at = |share: usize| sizes.get((sizes.len().saturating_sub(1)) * share / 100).copied().unwrap_or_default();
    Ok(json!({
        "dialect": converted.dialect,
        "bytes": text.len(),
        "operations": converted.operations,
        "tools": converted.tools.len(),
        "remarks": converted.remarks.len(),
        "outputs": converted.tools.iter().filter(|tool| tool.tool.output_schema.is_some()).count(),
        "skipped": converted.skipped.len(),
        "skips": skips(&converted),
        "parse": parsed,
        "convert": took,
        "peak": peak,
        "tokens": sizes.iter().sum::<usize>() / 4,
        "median": at(50),
        "p95": at(95),
        "most": at(100),
    }))
}

/// A tool's descriptor, about as large as clients get it.
fn bytes(tool: &ApiTool) -> usize {
    let tool = &tool.tool;
    let descriptor = json!({
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": tool.input_schema,
        "outputSchema": tool.output_schema,
    });
    descriptor.to_string().len()
}

/// Reasons and how often they came, names in them left out.
fn skips(converted: &Converted) -> BTreeMap<String, usize> {
    let mut skips = BTreeMap::new();
    for skipped in &converted.skipped {
        let words = skipped.reason.split('`').step_by(2).collect::<Vec<_>>().join("…");
        *skips.entry(words).or_default() += 1;
    }
    skips
}

/// The CPU time of this thread so far, in ms: the machine is never quiet.
fn spent() -> Result<f64, Failure> {
    let schedule = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = schedule.split_whitespace().next().ok_or("no schedstat")?.parse()?;
    Ok(nanoseconds / 1e6)
}

/// The most memory this process has had, in MB.
fn peak() -> Result<f64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn table(measured: &[(PathBuf, Result<Value, Failure>)]) -> Table {
    const COLUMNS: &[(&str, &str)] = &[
        ("form", "dialect"),
        ("operations", "operations"),
        ("tools", "tools"),
        ("skipped", "skipped"),
        ("with output", "outputs"),
        ("remarks", "remarks"),
        ("parse ms", "parse"),
        ("convert ms", "convert"),
        ("peak MB", "peak"),
        ("tokens", "tokens"),
        ("median B", "median"),
        ("p95 B", "p95"),
        ("most B", "most"),
    ];
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let heads = ["document", "MB"].into_iter().chain(COLUMNS.iter().map(|(head, _)| *head));
    table.set_header(heads);
    for (file, measured) in measured {
        let mut cells = vec![name(file)];
        match measured {
            Ok(it) => {
                cells.push(format!("{:.2}", it["bytes"].as_f64().unwrap_or_default() / 1e6));
                cells.extend(COLUMNS.iter().map(|(_, key)| {
                    let value = &it[*key];
                    let number = value.as_f64().filter(|_| value.is_f64()).map(|number| format!("{number:.0}"));
                    number.or_else(|| value.as_str().map(str::to_owned)).unwrap_or_else(|| value.to_string())
                }));
            }
            Err(error) => cells.push(error.to_string()),
        }
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
