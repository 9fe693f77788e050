//! Which operations become tools when there are too many: whole tags, those with the most operations first.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::manifest::Method;
use crate::openapi::{ApiTool, Converted};

/// What became no tool.
#[derive(Debug)]
pub(super) struct LeftOut {
    /// How many tools.
    pub(super) tools: usize,
    /// The tags none of whose operations is a tool.
    pub(super) tags: Vec<String>,
}

/// The choice for the manifest, and what it leaves out.
pub(super) fn choose(converted: &Converted, adapter: &Map<String, Value>, most: usize) -> (Value, LeftOut) {
    let mut by_tag: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (index, tool) in converted.tools.iter().enumerate() {
        for tag in tool.tool.tags.iter().filter(|tag| converted.tags.contains_key(*tag)) {
            by_tag.entry(tag).or_default().insert(index);
        }
    }
    let mut ordered: Vec<(&str, BTreeSet<usize>)> = by_tag.into_iter().collect();
    ordered.sort_by_key(|(tag, tools)| (std::cmp::Reverse(tools.len()), *tag));
    let mut chosen: BTreeSet<usize> = BTreeSet::new();
    let mut tags = Vec::new();
    for (tag, tools) in &ordered {
        if chosen.union(tools).count() <= most {
            chosen.extend(tools);
            tags.push(*tag);
        }
    }
    let wanted = adapter.get("include").and_then(|include| include.get(0)).and_then(Value::as_object);
    let mut choice = wanted.cloned().unwrap_or_default();
    // A choice by tags is short and easy to change, but it must not miss most of what may be had.
    if chosen.len() * 2 >= most && wanted.is_none_or(|wanted| !wanted.contains_key("tags")) {
        choice.insert("tags".into(), json!(tags));
    } else {
        chosen = single(&converted.tools, &ordered, most);
        let ids: Vec<&str> = chosen.iter().filter_map(|index| Some(converted.tools.get(*index)?.id.as_str())).collect();
        choice = Map::new();
        choice.insert("operations".into(), json!(ids));
    }
    let none = |(_, tools): &&(&str, BTreeSet<usize>)| tools.is_disjoint(&chosen);
    let tags = ordered.iter().filter(none).map(|(tag, _)| (*tag).to_owned()).collect();
    (json!([choice]), LeftOut { tools: converted.tools.len().saturating_sub(chosen.len()), tags })
}

/// Single operations: of the largest tag first, what reads before what writes, short paths before long ones.
fn single(tools: &[ApiTool], ordered: &[(&str, BTreeSet<usize>)], most: usize) -> BTreeSet<usize> {
    let mut indexes: Vec<_> = tools
        .iter()
        .enumerate()
        .map(|(index, tool)| {
            let rank = ordered.iter().position(|(_, of)| of.contains(&index)).unwrap_or(usize::MAX);
            let writes = !matches!(tool.plan.method, Method::Get);
            (rank, writes, tool.plan.path.matches('/').count(), tool.plan.path.as_str(), index)
        })
        .collect();
    indexes.sort_unstable();
    indexes.into_iter().map(|(.., index)| index).take(most).collect()
}
