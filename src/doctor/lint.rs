//! What a tool's descriptor has to be like: one table, one row for each rule.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Severity::{self, Error, Note, Warning};
use super::schema;
use super::tool::Tool;
use super::tour::Tour;
use super::wire::readable;
use crate::name::{MAX_TOOL_NAME, cut};

/// Tools that are named in one finding.
const NAMED: usize = 6;
/// The longest text `ChatGPT` shows while a tool runs.
const STATUS: usize = 64;

/// A rule. `broken` says of a tool what breaks it, in brackets behind its name, or nothing more; with whether people
/// can sign in at the server.
struct Rule {
    /// What the tools are called that break it.
    what: &'static str,
    why: &'static str,
    fix: &'static str,
    /// How bad that is for `ChatGPT` and for Claude; none when the client does not care.
    severity: [Option<Severity>; 2],
    broken: fn(Tool<'_>, bool) -> Option<String>,
}

const RULES: &[Rule] = &[
    Rule {
        what: "tools whose name clients refuse",
        why: "clients take 1 to 64 letters, digits, `_` and `-`; one other name can make them drop all tools",
        fix: "rename them",
        severity: [Some(Error), Some(Error)],
        broken: |tool, _| {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            let name = tool.name();
            when(name.is_empty() || name.len() > MAX_TOOL_NAME || !name.chars().all(fits))
        },
    },
    Rule {
        what: "tools without a title",
        why: "people are shown the technical name when they are asked to allow a call",
        fix: "give each a short `title`",
        severity: [Some(Warning), Some(Warning)],
        broken: |tool, _| {
            when(tool.text("/title").or_else(|| tool.text("/annotations/title")).is_none_or(str::is_empty))
        },
    },
    Rule {
        what: "tools without a description",
        why: "the model does not know what they are for, and does not use them",
        fix: "say when to use each, and what it gives",
        severity: [Some(Error), Some(Error)],
        broken: |tool, _| when(tool.text("/description").is_none_or(|text| text.trim().is_empty())),
    },
    Rule {
        what: "tools whose description does not begin with \"Use this when\"",
        why: "OpenAI advises this form; models choose better with it",
        fix: "begin each description with \"Use this when …\"",
        severity: [Some(Note), None],
        broken: |tool, _| {
            let text = tool.text("/description").filter(|text| !text.trim().is_empty())?;
            when(!text.trim_start().get(..13).is_some_and(|start| start.eq_ignore_ascii_case("use this when")))
        },
    },
    Rule {
        what: "tools that do not say all of readOnlyHint, destructiveHint and openWorldHint",
        why: "what is not said counts as the worst: people are asked to allow each call, and a published app is refused",
        fix: "set all three in `annotations` to true or false",
        severity: [Some(Warning), Some(Warning)],
        broken: |tool, _| {
            let said = |hint: &&&str| tool.get("/annotations").and_then(|it| it.get(**hint)?.as_bool()).is_none();
            let hints = ["readOnlyHint", "destructiveHint", "openWorldHint"];
            let missing: Vec<&str> = hints.iter().filter(said).copied().collect();
            (!missing.is_empty()).then(|| if missing.len() == 3 { String::new() } else { missing.join(", ") })
        },
    },
    Rule {
        what: "tools that say both that they only read and that they destroy",
        why: "clients believe one of the two",
        fix: "set `destructiveHint` to false where `readOnlyHint` is true",
        severity: [Some(Warning), Some(Warning)],
        broken: |tool, _| {
            when(tool.is_read_only() && tool.get("/annotations/destructiveHint") == Some(&Value::Bool(true)))
        },
    },
    Rule {
        what: "tools whose input schema is not an object",
        why: "clients refuse them, some the whole list",
        fix: "give each an `inputSchema` with `\"type\": \"object\"`, with no properties when it takes nothing",
        severity: [Some(Error), Some(Error)],
        broken: |tool, _| when(tool.text("/inputSchema/type") != Some("object")),
    },
    Rule {
        what: "tools whose input schema has oneOf, anyOf, allOf, not or enum at its root",
        why: "the models' interfaces refuse such schemas, and with them the tools",
        fix: "describe one object, and say in words which properties go together",
        severity: [Some(Error), Some(Error)],
        broken: |tool, _| {
            let root = tool.get("/inputSchema")?.as_object()?;
            ["oneOf", "anyOf", "allOf", "not", "enum"]
                .into_iter()
                .find(|key| root.contains_key(*key))
                .map(str::to_owned)
        },
    },
    Rule {
        what: "tools whose schema refers to another document",
        why: "clients fetch nothing, and refuse the tool",
        fix: "write the schema out, with `$defs` inside it",
        severity: [Some(Error), Some(Error)],
        broken: |tool, _| schema::of(tool).find_map(schema::foreign_reference),
    },
    Rule {
        what: "tools whose schema refers to a part that is not there",
        why: "clients cannot read it, and refuse the tool",
        fix: "add the part to `$defs`, or correct the `$ref`",
        severity: [Some(Error), Some(Error)],
        broken: |tool, _| schema::of(tool).find_map(schema::dangling_reference),
    },
    Rule {
        what: "tools whose schema is not valid JSON Schema",
        why: "clients cannot read it, and refuse the tool",
        fix: "correct the schema",
        severity: [Some(Error), Some(Error)],
        broken: |tool, _| schema::of(tool).find_map(schema::fault),
    },
    Rule {
        what: "tools whose schema is very large",
        why: "models lose their way in it, and each conversation pays for it",
        fix: "leave out what the model does not need",
        severity: [Some(Warning), Some(Warning)],
        broken: |tool, _| {
            let size = schema::of(tool).map(|schema| schema.to_string().len()).max()?;
            (size > schema::LARGE).then(|| format!("{} KiB", size >> 10))
        },
    },
    Rule {
        what: "tools whose output schema is not an object",
        why: "Claude and older clients refuse them",
        fix: "wrap the result in an object",
        severity: [Some(Warning), Some(Error)],
        broken: |tool, _| {
            when(tool.get("/outputSchema").is_some() && tool.text("/outputSchema/type") != Some("object"))
        },
    },
    Rule {
        what: "tools that do not say who may call them (`securitySchemes`)",
        why: "ChatGPT does not know which of them need a sign-in",
        fix: "add `securitySchemes`: `noauth`, or `oauth2` with its scopes",
        severity: [Some(Warning), None],
        broken: |tool, signs_in| when(signs_in && tool.schemes().is_empty()),
    },
    Rule {
        what: "tools whose `securitySchemes` are not the same in `_meta`",
        why: "ChatGPT reads both, and parts of it see only one of them",
        fix: "repeat `securitySchemes` in `_meta.securitySchemes`",
        severity: [Some(Warning), None],
        broken: |tool, _| when(tool.get("/securitySchemes") != tool.meta("securitySchemes")),
    },
    Rule {
        what: "tools with `securitySchemes` that ChatGPT does not know",
        why: "ChatGPT knows `noauth` and `oauth2` only, and cannot let people use the tool",
        fix: "use `{\"type\": \"noauth\"}` or `{\"type\": \"oauth2\", \"scopes\": […]}`",
        severity: [Some(Error), None],
        broken: |tool, _| {
            let unknown = |scheme: &&Value| match scheme.get("type").and_then(Value::as_str) {
                Some("noauth") => false,
                Some("oauth2") => scheme.get("scopes").is_some_and(|scopes| !scopes.is_array()),
                Some(_) | None => true,
            };
            let scheme = tool.schemes().iter().find(unknown)?;
            Some(scheme.get("type").and_then(Value::as_str).unwrap_or_default().to_owned())
        },
    },
    Rule {
        what: "tools that want a sign-in, which the server does not offer",
        why: "ChatGPT cannot let people use them",
        fix: "serve resource metadata that names a sign-in server, or mark the tools `noauth`",
        severity: [Some(Error), None],
        broken: |tool, signs_in| when(!signs_in && tool.wants_sign_in() && !tool.is_open()),
    },
    Rule {
        what: "tools that name two different pages",
        why: "which page is shown depends on the client",
        fix: "write the same into `ui.resourceUri` and `openai/outputTemplate`",
        severity: [Some(Error), Some(Error)],
        broken: |tool, _| {
            let other = tool.meta("openai/outputTemplate").and_then(Value::as_str)?;
            when(tool.text("/_meta/ui/resourceUri").is_some_and(|page| page != other))
        },
    },
    Rule {
        what: "tools whose page only ChatGPT finds",
        why: "Claude and others read `_meta.ui.resourceUri`, which is missing, and show text",
        fix: "write the page's address into `_meta.ui.resourceUri` too",
        severity: [Some(Note), Some(Warning)],
        broken: |tool, _| {
            when(tool.meta("openai/outputTemplate").is_some() && tool.text("/_meta/ui/resourceUri").is_none())
        },
    },
    Rule {
        what: "tools whose page is not a `ui://` address",
        why: "clients show pages from `ui://` addresses only",
        fix: "give the page such an address and serve it as a resource",
        severity: [Some(Error), Some(Error)],
        broken: |tool, _| tool.page().filter(|page| !page.starts_with("ui://")).map(str::to_owned),
    },
    Rule {
        what: "tools that say what their page has to say itself (csp, domain, permissions)",
        why: "clients read these from the page's resource only, and load nothing for the page",
        fix: "move them to `_meta` of the resource",
        severity: [Some(Warning), Some(Warning)],
        broken: |tool, _| {
            let ui = tool.meta("ui").and_then(Value::as_object);
            let misplaced =
                ["csp", "domain", "permissions"].into_iter().find(|key| ui.is_some_and(|ui| ui.contains_key(*key)));
            let theirs = ["openai/widgetCSP", "openai/widgetDomain"].into_iter().find(|key| tool.meta(key).is_some());
            misplaced.or(theirs).map(str::to_owned)
        },
    },
    Rule {
        what: "tools with a status text longer than 64 characters",
        why: "ChatGPT cuts it, or refuses the tool",
        fix: "shorten `openai/toolInvocation/invoking` and `openai/toolInvocation/invoked`",
        severity: [Some(Warning), None],
        broken: |tool, _| {
            let keys = ["openai/toolInvocation/invoking", "openai/toolInvocation/invoked"];
            let long =
                |key: &str| tool.meta(key).and_then(Value::as_str).is_some_and(|text| text.chars().count() > STATUS);
            when(keys.iter().any(|key| long(key)))
        },
    },
    Rule {
        what: "tools whose file parameters are not declared as ChatGPT fills them (`openai/fileParams`)",
        why: "ChatGPT gives each an object with download_url, file_id, mime_type and file_name, which the tool refuses",
        fix: "declare these four as properties of the parameter, and require the first two only",
        severity: [Some(Error), None],
        broken: |tool, _| schema::file_fault(tool),
    },
    Rule {
        what: "tools called `search` or `fetch` that are not what ChatGPT's research expects",
        why: "research calls exactly `search` with a `query` and `fetch` with an `id`, and only when they just read",
        fix: "take `query` (`search`) or `id` (`fetch`) as a text, require nothing else, and set `readOnlyHint`",
        severity: [Some(Warning), None],
        broken: |tool, _| {
            let parameter = match tool.name() {
                "search" => "query",
                "fetch" => "id",
                _ => return None,
            };
            let kind = tool.get("/inputSchema/properties").and_then(|it| it.get(parameter)?.get("type")?.as_str());
            let required = tool.get("/inputSchema/required").and_then(Value::as_array);
            let others = required.is_some_and(|required| required.iter().any(|name| name != parameter));
            when(kind != Some("string") || others || !tool.is_read_only())
        },
    },
];

fn when(broken: bool) -> Option<String> {
    broken.then(String::new)
}

/// Holds every rule against every tool. Each rule is told once.
pub(super) fn lint<P>(tour: &mut Tour<'_, P>, tools: &[Value]) {
    let signs_in = tour.learned.has_oauth();
    for rule in RULES {
        let [for_chatgpt, for_claude] = rule.severity;
        let Some(severity) = (if tour.is_chatgpt() { for_chatgpt } else { for_claude }) else { continue };
        let broken: Vec<(&str, String)> =
            tools.iter().filter_map(|tool| Some((Tool(tool).name(), (rule.broken)(Tool(tool), signs_in)?))).collect();
        if !broken.is_empty() {
            tour.found(severity, format!("{}: {}", rule.what, named(&broken)), rule.why, rule.fix);
        }
    }
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for tool in tools {
        *seen.entry(Tool(tool).name()).or_default() += 1;
    }
    let twice: Vec<(&str, String)> =
        seen.into_iter().filter(|(_, count)| *count > 1).map(|(name, _)| (name, String::new())).collect();
    if !twice.is_empty() {
        tour.error(
            format!("tools that share a name: {}", named(&twice)),
            "clients keep one of them, or refuse the list",
            "give each its own name",
        );
    }
    if tour.is_chatgpt() && signs_in && !tools.is_empty() && !tools.iter().any(|tool| Tool(tool).is_profile()) {
        tour.warn(
            "no tool tells whose account is connected (`_meta[\"openai/profile\"]`)",
            "ChatGPT cannot tell several accounts apart, and connecting was seen to fail with OAUTH_OWNER_PROFILE_ID_MISSING",
            "add a read-only tool without arguments, marked `\"openai/profile\": true`, that gives `id` and best `name` and `email`",
        );
    }
}

/// The tools' names, the first few.
fn named(broken: &[(&str, String)]) -> String {
    let show = |(name, detail): &(&str, String)| {
        let name = readable(&cut(name, 80));
        if detail.is_empty() { format!("`{name}`") } else { format!("`{name}` ({})", readable(&cut(detail, 80))) }
    };
    let names: Vec<String> = broken.iter().take(NAMED).map(show).collect();
    let more = broken.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}
