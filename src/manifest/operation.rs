//! What tools do, where an adapter knows all that can be done.

use serde::{Deserialize, Serialize};

/// What a tool does, where an adapter knows all that can be done. The words differ, so the word says which is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Operation {
    /// On a collection.
    Items(ItemsOperation),
    /// On the gateway itself.
    Gateway(GatewayOperation),
}

/// What a tool does to a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ItemsOperation {
    /// Puts items into it.
    Add,
    /// Changes items of it.
    Update,
    /// Takes items out of it.
    Remove,
    /// Shows it.
    List,
    /// Empties it.
    Clear,
}

/// What a tool does with what the gateway knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum GatewayOperation {
    /// Shows how every connector is.
    Connectors,
    /// Makes a connector's sample call.
    Sample,
    /// Searches every connector that feeds it.
    Search,
    /// Fetches what a search found.
    Fetch,
    /// Says who signed in.
    Profile,
    /// Adds a connector while the server runs.
    ConnectorAdd,
    /// Tells how the adding of a connector goes.
    ConnectorStatus,
    /// Takes away a connector that was added.
    ConnectorRemove,
    /// Lists the connectors that were added.
    ConnectorList,
}

impl GatewayOperation {
    /// Whether it is about connectors that are added and taken away while the server runs.
    pub fn registers(self) -> bool {
        match self {
            Self::ConnectorAdd | Self::ConnectorStatus | Self::ConnectorRemove | Self::ConnectorList => true,
            Self::Connectors | Self::Sample | Self::Search | Self::Fetch | Self::Profile => false,
        }
    }

    /// Whether it changes anything.
    pub fn writes(self) -> bool {
        matches!(self, Self::ConnectorAdd | Self::ConnectorRemove)
    }
}
