//! How every connector is, for people and scripts.

use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::{Connector, Live, State};

impl Live {
    /// How every connector is. Holds no secret and no address.
    pub fn report(&self) -> Value {
        json!(self.connectors.values().map(|connector| self.report_of(connector)).collect::<Vec<_>>())
    }

    fn report_of(&self, connector: &Connector) -> Value {
        let id = &connector.checked.connector.id;
        let mine = || self.catalog.entries().iter().filter(|entry| entry.connector == *id);
        let state = connector.state();
        let mut report = json!({
            "id": id,
            "state": state.word(),
            "reason": state.reason(),
            "tools": mine().map(|entry| entry.name.as_str()).collect::<Vec<_>>(),
            "tokens": mine().map(|entry| entry.tokens()).sum::<usize>(),
        });
        if let (State::Live(status), Value::Object(report)) = (state, &mut report) {
            let since = status.since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            report.insert("since".into(), json!(since));
            report.insert("retryInMs".into(), json!(status.retry_in().map(|wait| wait.as_millis())));
            report.insert("connections".into(), json!(status.connections));
        }
        report
    }
}
