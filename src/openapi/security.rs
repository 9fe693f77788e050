//! What an API wants to be shown.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::{
    OAuth2Proof, Proof,
    dialect::Dialect,
    node::{Documents, Node},
    operation::Operation,
    text,
};

/// Schemes, alternatives and scopes that are read.
const MOST: usize = 100;

/// Alternatives; of each, all have to be shown.
pub(super) type Alternatives = Vec<Vec<(String, Vec<String>)>>;

/// The document's schemes by name.
pub(super) fn schemes<'a>(documents: &Documents<'a>, dialect: Dialect, root: Node<'a>) -> IndexMap<String, Proof> {
    let (schemes, place) = match dialect {
        Dialect::Swagger2 => (root.get("securityDefinitions"), "/securityDefinitions"),
        Dialect::OpenApi30 | Dialect::OpenApi31 => {
            (root.get("components").and_then(|it| it.get("securitySchemes")), "/components/securitySchemes")
        }
    };
    let mut proofs = IndexMap::new();
    for (name, node) in schemes.into_iter().flat_map(Node::members).take(MOST) {
        match documents.follow(node) {
            Ok(node) => drop(proofs.insert(name.to_owned(), proof(node))),
            Err(error) => documents.remark(format!("{place}/{}", super::node::step(name)), error),
        }
    }
    proofs
}

fn proof(node: Node<'_>) -> Proof {
    let name = node.text("name").unwrap_or_default().to_owned();
    match (node.text("type").unwrap_or_default(), node.text("in")) {
        ("apiKey", _) if name.is_empty() => Proof::Other("an API key without a name".into()),
        ("apiKey", Some("header")) => Proof::Header(name),
        ("apiKey", Some("query")) => Proof::Query(name),
        ("apiKey", Some("cookie")) => Proof::Cookie(name),
        ("apiKey", _) => Proof::Other("an API key at an unknown place".into()),
        ("basic", _) => Proof::Basic,
        ("http", _) => match node.text("scheme").unwrap_or_default().to_ascii_lowercase().as_str() {
            "basic" => Proof::Basic,
            "bearer" => Proof::Bearer,
            other => Proof::Other(format!("HTTP authentication `{}`", text::line(other, 40))),
        },
        ("oauth2", _) => Proof::OAuth2(oauth2(node)),
        ("openIdConnect", _) => Proof::OpenIdConnect(node.text("openIdConnectUrl").unwrap_or_default().to_owned()),
        ("mutualTLS", _) => Proof::Other("a client certificate".into()),
        (other, _) => Proof::Other(format!("`{}`", text::line(other, 40))),
    }
}

fn oauth2(node: Node<'_>) -> OAuth2Proof {
    let flows: Vec<(&str, Node<'_>)> = match node.get("flows") {
        Some(flows) => flows.members().take(MOST).collect(),
        None => vec![(node.text("flow").unwrap_or_default(), node)],
    };
    let said = |key: &str| flows.iter().find_map(|(_, flow)| flow.text(key)).map(str::to_owned);
    let scopes = flows.iter().filter_map(|(_, flow)| flow.get("scopes")).flat_map(Node::members).take(MOST * 10);
    let scopes: BTreeMap<String, String> = scopes
        .map(|(scope, what)| (scope.to_owned(), text::line(what.value.as_str().unwrap_or_default(), 200)))
        .collect();
    OAuth2Proof {
        authorization_url: said("authorizationUrl"),
        token_url: said("tokenUrl"),
        client_credentials: flows.iter().any(|(flow, _)| matches!(*flow, "clientCredentials" | "application")),
        scopes,
    }
}

/// What an operation wants to be shown.
pub(super) fn of(
    documents: &Documents<'_>,
    operation: &Operation<'_>,
    root: Node<'_>,
    known: &IndexMap<String, Proof>,
) -> Alternatives {
    let holder = if operation.node.get("security").is_some() { operation.node } else { root };
    let alternatives = holder.items("security").take(MOST).map(|alternative| {
        let all = alternative.members().take(MOST).filter(|(name, _)| documents.read(name)).map(|(name, scopes)| {
            if !known.contains_key(name) {
                let words = format!("`{}` is none of the document's security schemes", text::line(name, 80));
                documents.remark(format!("{}/security", operation.place), words);
            }
            let scopes = scopes.value.as_array().into_iter().flatten().take(MOST);
            (
                name.to_owned(),
                scopes
                    .filter_map(|scope| scope.as_str())
                    .filter(|scope| documents.read(scope))
                    .map(str::to_owned)
                    .collect(),
            )
        });
        all.collect()
    });
    alternatives.collect()
}
