//! Connectors that are added and removed, and what tenants say of their own clients at issuers.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Answer, Asked, Named, Refusal, Sdk, answer};
use crate::gateway::{Deployment, NewConnector, whose};

/// About how long it takes, in words for whoever waits.
const ABOUT: &str = "under a minute";

pub(super) async fn add(State(sdk): State<Arc<Sdk>>, asked: Asked, body: Body) -> Answer {
    sdk.asker(&asked, &[]).await?.admin()?;
    let order = NewConnector::read(&sdk.body(&asked, body).await?)?;
    let who = sdk.asker(&asked, &[order.tenant.as_deref()]).await?;
    let new = NewConnector { tenant: who.tenant.clone(), ..order };
    let deployment = sdk.gateway().add(new, &who.own).await?;
    let body = json!({
        "deploymentId": deployment.id,
        "name": deployment.name,
        "status": deployment.stage,
        "estimatedTime": ABOUT,
        "message": "it is brought up in the background; GET /api/v1/mcp/deployments/<deploymentId> says how it goes",
    });
    Ok(answer(StatusCode::ACCEPTED, &body))
}

pub(super) async fn deployments(State(sdk): State<Arc<Sdk>>, asked: Asked) -> Answer {
    let who = sdk.asker(&asked, &[asked.query("tenantId")]).await?;
    let all = sdk.gateway().registry().deployments(whose(&who.own, who.tenant.as_deref())).await?;
    let all: Vec<Value> = all.iter().map(Deployment::json).collect();
    Ok(answer(StatusCode::OK, &json!({ "count": all.len(), "deployments": all })))
}

pub(super) async fn deployment(State(sdk): State<Arc<Sdk>>, Named(id): Named<String>, asked: Asked) -> Answer {
    let who = sdk.asker(&asked, &[asked.query("tenantId")]).await?;
    let deployment = sdk.gateway().registry().deployment(&id, whose(&who.own, who.tenant.as_deref())).await?;
    let mut body = deployment.json();
    if let Some(body) = body.as_object_mut().filter(|_| !deployment.stage.is_over()) {
        body.insert("estimatedTime".into(), json!(ABOUT));
    }
    Ok(answer(StatusCode::OK, &body))
}

pub(super) async fn custom(State(sdk): State<Arc<Sdk>>, asked: Asked) -> Answer {
    let who = sdk.asker(&asked, &[asked.query("tenantId")]).await?;
    let servers = sdk.gateway().added(whose(&who.own, who.tenant.as_deref())).await?;
    Ok(answer(StatusCode::OK, &json!({ "count": servers.len(), "servers": servers })))
}

pub(super) async fn remove(State(sdk): State<Arc<Sdk>>, Named(name): Named<String>, asked: Asked) -> Answer {
    let who = sdk.asker(&asked, &[asked.query("tenantId")]).await?;
    who.admin()?;
    sdk.gateway().remove(who.tenant.as_deref(), &name, &who.own).await?;
    Ok(answer(StatusCode::OK, &json!({ "name": name, "message": "it is gone" })))
}

pub(super) async fn integrations(State(sdk): State<Arc<Sdk>>, Named(tenant): Named<String>, asked: Asked) -> Answer {
    let who = sdk.asker(&asked, &[Some(&tenant)]).await?;
    let names = sdk.gateway().registry().integrations(who.tenant.as_deref()).await?;
    Ok(answer(StatusCode::OK, &json!({ "count": names.len(), "integrations": names })))
}

pub(super) async fn oauth_config(
    State(sdk): State<Arc<Sdk>>,
    Named((tenant, integration)): Named<(String, String)>,
    asked: Asked,
) -> Answer {
    let who = sdk.asker(&asked, &[Some(&tenant)]).await?;
    let config = sdk.gateway().registry().oauth_config(who.tenant.as_deref(), &integration).await?;
    Ok(answer(StatusCode::OK, &config))
}

pub(super) async fn set_oauth_config(
    State(sdk): State<Arc<Sdk>>,
    Named((tenant, integration)): Named<(String, String)>,
    asked: Asked,
    body: Body,
) -> Answer {
    let who = sdk.asker(&asked, &[Some(&tenant)]).await?;
    who.admin()?;
    let body = sdk.body(&asked, body).await?;
    let config = sdk.gateway().set_oauth_config(who.tenant.as_deref(), &integration, &body, &who.own).await?;
    Ok(answer(StatusCode::OK, &config))
}

pub(super) async fn drop_oauth_config(
    State(sdk): State<Arc<Sdk>>,
    Named((tenant, integration)): Named<(String, String)>,
    asked: Asked,
) -> Answer {
    let who = sdk.asker(&asked, &[Some(&tenant)]).await?;
    who.admin()?;
    if !sdk.gateway().drop_oauth_config(who.tenant.as_deref(), &integration, &who.own).await? {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "nothing is kept for this integration"));
    }
    Ok(answer(StatusCode::OK, &json!({ "integration": integration, "message": "it is forgotten" })))
}
