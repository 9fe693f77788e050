//! `config`: what is set and what says so, and everything there is to set.

use clap::Args;
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::{Failure, Format, FormatArgs, print};
use crate::config::{Config, Described, Layers, OUTSIDE, Origin, Standing, described};

/// The options that stand for settings: each by its name here, and the setting's in the file or the variable's.
const OPTIONS: &[(&str, &str)] = &[
    ("config", "SWITCHBOARD_CONFIG"),
    ("manifests", "manifests"),
    ("data_dir", "dataDir"),
    ("apps_bundle_dir", "appsBundleDir"),
    ("strict", "strict"),
    ("host", "host"),
    ("port", "port"),
    ("public_url", "publicUrl"),
    ("allowed_host", "allowedHosts"),
    ("allowed_origin", "allowedOrigins"),
    ("auth", "auth.mode"),
    ("mixed", "auth.mixed"),
    ("trusted_proxy", "trustedProxies"),
    ("exposure", "tools.exposure"),
];

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// Show everything there is to set instead: names, what it may be, default and meaning
    #[arg(long)]
    pub(super) describe: bool,
    #[command(flatten)]
    pub(super) format: FormatArgs,
}

/// Shows the settings in force, and of the other variables whether they are set.
pub(super) fn config(config: &Config, layers: &Layers, format: Format) -> Result<(), Failure> {
    let standing = layers.standing(config);
    let variables = OUTSIDE.iter().flat_map(|(names, ..)| names.iter());
    let set: Vec<&str> = variables.filter(|name| layers.environment.get(name).is_some()).copied().collect();
    if format == Format::Json {
        return print(&format!("{:#}", json!({ "settings": standing, "variables": set })));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["setting", "value", "from"]);
    for Standing { setting, value, from, variable } in &standing {
        let from = match from {
            Origin::Default => "default".to_owned(),
            Origin::File => "file".to_owned(),
            Origin::Environment => format!("environment: {}", variable.unwrap_or_default()),
            Origin::CommandLine => "command line".to_owned(),
        };
        table.add_row([setting, &shown(value), &from]);
    }
    print(&table.to_string())?;
    print(&format!("variables that no setting stands for, and that are set: {}", set.join(", ")))
}

/// Shows everything there is to set, by the program's own `command` line.
pub(super) fn describe(format: Format, command: &clap::Command) -> Result<(), Failure> {
    let settings = described().into_iter().map(|setting| (option(command, &setting), setting));
    if format == Format::Json {
        let with_option = |(option, setting): (Option<String>, Described)| {
            let mut setting = json!(setting);
            if let Value::Object(members) = &mut setting {
                members.insert("option".into(), option.into());
            }
            setting
        };
        return print(&format!("{:#}", settings.map(with_option).collect::<Value>()));
    }
    let text = |(option, setting): (Option<String>, Described)| {
        let Described { file, variables, kind, default, meaning } = setting;
        let names = file.into_iter().chain(variables.into_iter().map(str::to_owned)).chain(option);
        let default = default.map(|value| format!("; default {}", shown(&value))).unwrap_or_default();
        format!("{}\n    {meaning}\n    {kind}{default}\n", names.collect::<Vec<_>>().join("  "))
    };
    print(settings.map(text).collect::<Vec<_>>().join("\n").trim_end())
}

/// The option that says this setting.
fn option(command: &clap::Command, setting: &Described) -> Option<String> {
    let is_it = |name: &str| setting.file.as_deref() == Some(name) || setting.variables.contains(&name);
    let (id, _) = OPTIONS.iter().find(|(_, name)| is_it(name))?;
    let serve = command.find_subcommand("serve")?;
    let mut options = command.get_arguments().chain(serve.get_arguments());
    options.find(|option| option.get_id() == id)?.get_long().map(|long| format!("--{long}"))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => super::for_terminal(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
