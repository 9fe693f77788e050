//! What an import found, for people and for scripts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::{Made, Read};
use crate::catalog::Entry;
use crate::name::public_name;
use crate::openapi::{ApiTool, Skipped};

/// More tools than this are more than many clients take.
const MANY: usize = 40;
/// Problems that are shown to people; scripts are given all.
const SHOWN: usize = 20;

pub(super) struct Report<'a> {
    made: &'a Made,
    read: &'a Read,
    written: Option<&'a [PathBuf]>,
}

impl<'a> Report<'a> {
    pub(super) fn new(made: &'a Made, read: &'a Read, written: Option<&'a [PathBuf]>) -> Self {
        Self { made, read, written }
    }

    fn tokens(&self) -> usize {
        self.made.converted.tools.iter().map(|tool| self.tokens_of(tool)).sum()
    }

    fn tokens_of(&self, api: &ApiTool) -> usize {
        Entry::tokens_of(&public_name(&self.made.id, &api.tool.name, true), &api.tool)
    }

    /// Operations nobody left out on purpose, and how many there are of each reason.
    fn skipped(&self) -> (Vec<&Skipped>, usize) {
        let (wanted, unwanted): (Vec<&Skipped>, Vec<&Skipped>) =
            self.made.converted.skipped.iter().partition(|skipped| skipped.wanted);
        (unwanted, wanted.len())
    }

    fn remarks(&self) -> Vec<String> {
        let Made { converted, remarks, slots, left_out, .. } = self.made;
        let mut all = remarks.clone();
        all.extend(slots.remarks.iter().cloned());
        if let Some(left_out) = left_out {
            let tags = if left_out.tags.is_empty() {
                String::new()
            } else {
                format!(", among them all of the tags {}", left_out.tags.join(", "))
            };
            all.push(format!("{} tools are left out by --max-tools{tags}", left_out.tools));
        }
        let tools = converted.tools.len();
        if tools == 0 {
            all.push("no operation became a tool".into());
        }
        if tools > MANY {
            all.push(format!(
                "{tools} tools are more than many clients take, and models choose badly among so many: choose by --tags, --paths or --max-tools {MANY}"
            ));
        }
        all.extend(self.read.refused.iter().map(|refused| format!("not followed: {refused}")));
        all
    }

    pub(super) fn text(&self) -> String {
        let Made { converted, slots, .. } = self.made;
        let (unwanted, wanted) = self.skipped();
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let mut row = |name: &str, value: String| {
            table.add_row([name.to_owned(), value]);
        };
        row("document", format!("{} {}, {}", converted.title, converted.version, dialect(converted.dialect)));
        if let Some(Ok(base)) = &converted.base {
            row("address", base.to_string());
        }
        row("operations", converted.operations.to_string());
        row("tools", format!("{}, ~{} tokens", converted.tools.len(), self.tokens()));
        if wanted > 0 {
            row("left out", format!("{wanted} by choice, or because they are deprecated"));
        }
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for skipped in &unwanted {
            *reasons.entry(skipped.reason.as_str()).or_default() += 1;
        }
        for (reason, count) in reasons {
            row("skipped", format!("{count}: {reason}"));
        }
        for (variable, what) in &slots.variables {
            row("credential", format!("{variable}: {what}"));
        }
        let mut tags: Vec<(&String, &usize)> = converted.tags.iter().collect();
        tags.sort_by_key(|(tag, count)| (std::cmp::Reverse(**count), *tag));
        let named: Vec<String> = tags.iter().take(12).map(|(tag, count)| format!("{tag} ({count})")).collect();
        if !named.is_empty() {
            let more = tags.len().saturating_sub(named.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            row("tags", format!("{}{more}", named.join(", ")));
        }
        for file in self.written.unwrap_or_default() {
            row("written", file.display().to_string());
        }
        let mut text = table.trim_fmt();
        for remark in self.remarks() {
            let _ = write!(text, "\nwarning: {remark}");
        }
        let places =
            unwanted.iter().map(|skipped| (&skipped.place, format!("{}: {}", skipped.operation, skipped.reason)));
        let remarks = converted.remarks.iter().map(|(place, words)| (place, words.clone()));
        let problems: Vec<(&String, String)> = places.chain(remarks).collect();
        for (place, words) in problems.iter().take(SHOWN) {
            let _ = write!(text, "\n{}#{place}: {words}", self.read.shown);
        }
        if problems.len() > SHOWN {
            let _ = write!(text, "\nand {} more; --format json shows all", problems.len() - SHOWN);
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let Made { id, manifest, converted, slots, left_out, .. } = self.made;
        let skipped = converted.skipped.iter().map(
            |it| json!({ "operation": it.operation, "place": it.place, "reason": it.reason, "wanted": it.wanted }),
        );
        let tools = converted.tools.iter().map(
            |tool| json!({ "name": tool.tool.name, "operation": tool.id, "place": tool.place, "tokens": self.tokens_of(tool) }),
        );
        json!({
            "id": id,
            "title": converted.title,
            "version": converted.version,
            "dialect": converted.dialect,
            "baseUrl": converted.base.as_ref().and_then(|base| base.as_ref().ok()),
            "operations": converted.operations,
            "tags": converted.tags,
            "tools": tools.collect::<Vec<_>>(),
            "tokens": self.tokens(),
            "skipped": skipped.collect::<Vec<_>>(),
            "leftOut": left_out.as_ref().map(|it| json!({ "tools": it.tools, "tags": it.tags })),
            "remarks": converted.remarks.iter().map(|(place, words)| json!({ "place": place, "message": words })).collect::<Vec<_>>(),
            "warnings": self.remarks(),
            "variables": slots.variables.iter().map(|(name, what)| json!({ "name": name, "for": what })).collect::<Vec<_>>(),
            "written": self.written,
            "manifest": manifest,
        })
    }
}

fn dialect(name: &str) -> String {
    if name.starts_with('2') { format!("Swagger {name}") } else { format!("OpenAPI {name}") }
}
