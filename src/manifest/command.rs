//! What a manifest says about programs on this machine.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::template::Template;
use crate::secret::Text;

/// Programs that run on this machine, never through a shell.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommandSettings {
    /// The program, by name (looked up in `PATH`) or path. A tool may name its own.
    #[serde(default)]
    pub program: Option<Text>,
    /// Where it runs, relative to the manifest's folder.
    #[serde(default = "here")]
    pub cwd: Text,
    /// Variables it gets.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Variables of ours it may see besides `PATH`.
    #[serde(default)]
    pub inherit_env: Vec<String>,
    /// The most output to take, in bytes.
    #[serde(default = "one_mebibyte")]
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub max_output_bytes: usize,
    /// The most address space one process of it may use, in bytes.
    #[serde(default)]
    #[schemars(range(min = 1_048_576))]
    pub max_memory_bytes: Option<u64>,
}

fn here() -> Text {
    Text(".".into())
}

fn one_mebibyte() -> usize {
    1 << 20
}

/// One run of a program, made from a tool's arguments.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Run {
    /// The program, when it is not the adapter's.
    #[serde(default)]
    pub program: Option<Text>,
    /// Its arguments, each one element of argv.
    #[serde(default)]
    pub args: Vec<Arg>,
    /// What it reads on standard input.
    #[serde(default)]
    pub stdin: Option<Template>,
    /// One of the tool's `files`, on standard input instead.
    #[serde(default)]
    pub stdin_file: Option<String>,
    /// What it writes on standard output.
    #[serde(default)]
    pub output: OutputFormat,
    /// Arguments that name files below `cwd`; one that leaves it is refused.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Exit codes that mean success.
    #[serde(default = "only_zero")]
    pub ok_exit_codes: Vec<i32>,
}

fn only_zero() -> Vec<i32> {
    vec![0]
}

/// Parts of a manifest, each with its JSON pointer.
type Placed<T> = Vec<(String, T)>;

/// One element of argv, or several.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Arg {
    /// One element; left out when its argument is absent.
    One(Template),
    /// Elements that stand or fall together.
    Group(Vec<Template>),
    /// Elements that depend on an argument.
    Choice(Choice),
}

/// Elements that depend on an argument.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The argument: chosen when it is there and not `false`.
    #[serde(rename = "if")]
    pub condition: String,
    /// The elements then.
    pub then: Vec<Arg>,
    /// The elements otherwise.
    #[serde(rename = "else", default)]
    pub otherwise: Vec<Arg>,
}

/// What a program's standard output is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OutputFormat {
    /// Text.
    #[default]
    Text,
    /// One JSON value.
    Json,
}

impl Arg {
    /// Its templates and the arguments its choices look at, each with its JSON pointer.
    pub fn templates(&self, pointer: &str) -> (Placed<&Template>, Placed<&str>) {
        match self {
            Self::One(template) => (vec![(pointer.to_owned(), template)], Vec::new()),
            Self::Group(templates) => {
                let at = |(index, template)| (format!("{pointer}/{index}"), template);
                (templates.iter().enumerate().map(at).collect(), Vec::new())
            }
            Self::Choice(Choice { condition, then, otherwise }) => {
                let mut all = (Vec::new(), vec![(format!("{pointer}/if"), condition.as_str())]);
                for (key, args) in [("then", then), ("else", otherwise)] {
                    for (index, arg) in args.iter().enumerate() {
                        let (templates, conditions) = arg.templates(&format!("{pointer}/{key}/{index}"));
                        all.0.extend(templates);
                        all.1.extend(conditions);
                    }
                }
                all
            }
        }
    }
}
