//! The era of a request: `initialize` (up to 2025-11-25), or metadata on each request (2026-07-28).

use rmcp::{RoleServer, model::ProtocolVersion, service::RequestContext};

/// The protocol generation a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    /// Sessions with an `initialize` handshake.
    Handshake,
    /// Every request says for itself what it needs.
    PerRequest,
}

impl Era {
    pub(super) fn of(cx: &RequestContext<RoleServer>) -> Self {
        // Versions are dates, so their text order is their order in time.
        match cx.protocol_version() {
            Some(version) if version.as_str() >= ProtocolVersion::V_2026_07_28.as_str() => Self::PerRequest,
            Some(_) | None => Self::Handshake,
        }
    }
}
