//! The registry as clients read it, and as tools for models.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use url::Url;

use super::{NewConnector, Record, RegistryError, Source, Whose, tenant_of};
use crate::call::Output;
use crate::caller::Caller;
use crate::error::Result;
use crate::gateway::{Connector, Gateway, Live};
use crate::manifest::{Arguments, GatewayOperation};

impl Gateway {
    /// Does what a tool of the registry does.
    pub(in crate::gateway) async fn register(
        &self,
        operation: GatewayOperation,
        arguments: &Arguments,
        caller: &Caller,
    ) -> Result<Output> {
        let text = |key: &str| arguments.get(key).and_then(Value::as_str);
        let tenant = tenant_of(caller, &[text("tenantId")])?;
        let answer = match operation {
            GatewayOperation::ConnectorAdd => {
                let order = NewConnector::read(&Value::Object(arguments.clone()))?;
                self.add(NewConnector { tenant, ..order }, caller).await?.json()
            }
            GatewayOperation::ConnectorStatus => {
                let deployment = self
                    .registry
                    .deployment(text("deploymentId").unwrap_or_default(), whose(caller, tenant.as_deref()));
                deployment.await?.json()
            }
            GatewayOperation::ConnectorRemove => {
                let name = text("name").unwrap_or_default();
                self.remove(tenant.as_deref(), name, caller).await?;
                json!({ "name": name, "message": "it is gone" })
            }
            GatewayOperation::ConnectorList => {
                let servers = self.added(whose(caller, tenant.as_deref())).await?;
                json!({ "count": servers.len(), "servers": servers })
            }
            GatewayOperation::Connectors
            | GatewayOperation::Sample
            | GatewayOperation::Search
            | GatewayOperation::Fetch
            | GatewayOperation::Profile => return Err(RegistryError::Unknown("there is no such tool".into()).into()),
        };
        Ok(Output::json(answer))
    }

    /// The connectors that were added, as clients read them.
    pub async fn added(&self, whose: Whose<'_>) -> Result<Vec<Value>, RegistryError> {
        let live = self.live();
        let records = self.registry.added(whose).await?;
        Ok(records.iter().map(|record| told(record, &live)).collect())
    }
}

/// Whose things a caller asks for, in the name of this tenant.
pub fn whose<'a>(caller: &Caller, tenant: Option<&'a str>) -> Whose<'a> {
    if tenant.is_none() && caller.is_unlimited() { Whose::All } else { Whose::Of(tenant) }
}

fn told(record: &Record, live: &Live) -> Value {
    let mine = |connector: &&Arc<Connector>| {
        let owner = connector.checked.connector.owner.as_ref();
        owner.is_some_and(|owner| *owner.deployment == *record.deployment)
    };
    let connector = live.connectors.values().find(mine);
    let status = connector.map_or(if record.built { "unavailable" } else { "building" }, |it| it.state().word());
    let tools = connector.map_or(0, |connector| live.catalog.cost(&connector.checked.connector.id).tools);
    let mut all = json!({
        "name": record.name,
        "integration": record.name,
        "connector": record.id(),
        "tenantId": record.tenant,
        "category": record.category,
        "description": record.description,
        "source": shown(&record.source),
        "status": status,
        "toolCount": tools,
        "deploymentId": record.deployment,
        "addedAt": humantime::format_rfc3339_seconds(record.added).to_string(),
    });
    if let Some(all) = all.as_object_mut() {
        all.retain(|_, value| !value.is_null());
    }
    all
}

/// A source without what may be a secret: headers, variables, arguments, and all of an address but where it begins,
/// for some have their only secret in the path.
fn shown(source: &Source) -> Value {
    let place = |url: &str| Some(Url::parse(url).ok()?.origin().ascii_serialization());
    let (key, value) = match source {
        Source::OpenApi { url, .. } | Source::Http { url, .. } | Source::Sse { url, .. } => ("url", place(url)),
        Source::Npm { package, .. } => ("package", Some(package.clone())),
        Source::Stdio { command, .. } => ("command", Some(command.clone())),
        Source::Docker { image, .. } => ("image", Some(image.clone())),
        Source::Github { repository, .. } => ("repository", Some(repository.clone())),
    };
    let mut shown = Map::from_iter([("type".to_owned(), json!(source.kind()))]);
    shown.extend(value.map(|value| (key.to_owned(), json!(value))));
    Value::Object(shown)
}
