//! `list`: the tools clients see.

use comfy_table::{Table, presets};
use serde_json::Value;

use super::{Failure, Format, print, show_problems};
use crate::app::App;
use crate::config::Config;
use crate::secret::Environment;

pub(super) fn list(config: Config, environment: Environment, format: Format) -> Result<(), Failure> {
    let app = App::open(config, environment)?;
    let live = super::runtime()?.block_on(app.with_connectors(async { app.gateway().live() }));
    if format == Format::Json {
        return print(&format!("{:#}", live.catalog.tools()));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["tool", "", "title", "tokens"]);
    for entry in live.catalog.entries() {
        let hint = |name: &str| entry.descriptor.pointer(&format!("/annotations/{name}")) == Some(&Value::Bool(true));
        let effect = match (hint("readOnlyHint"), hint("destructiveHint")) {
            (true, _) => "reads",
            (false, false) => "writes",
            (false, true) => "may destroy",
        };
        let title = entry.descriptor.get("title").and_then(Value::as_str).unwrap_or_default();
        table.add_row([entry.name.as_str(), effect, title, &format!("~{}", entry.tokens)]);
    }
    print(&table.to_string())?;
    for connector in live.connectors.values() {
        if let Some(tally) = connector.offer().and_then(|offer| offer.tally) {
            print(&format!("{}: {tally}", connector.checked.connector.id))?;
        }
    }
    show_problems(&live.problems);
    Ok(())
}
