//! The era of a request, as the SDK tells it.

use rmcp::{RoleServer, model::ProtocolVersion, service::RequestContext};

use crate::call::Era;

/// The protocol generation a request speaks.
pub(super) fn era_of(cx: &RequestContext<RoleServer>) -> Era {
    // Versions are dates, so their text order is their order in time.
    match cx.protocol_version() {
        Some(version) if version.as_str() >= ProtocolVersion::V_2026_07_28.as_str() => Era::PerRequest,
        Some(_) | None => Era::Handshake,
    }
}
