//! MCP on top of the gateway: methods in, answers out, for both eras of the protocol.
//!
//! The SDK's service loop dispatches what is between two neighbours: handshake, subscriptions,
//! cancellation. What connectors answer passes it under other names and as labels, because its
//! types would drop members they do not know.

mod alone;
mod announce;
mod downstream;
mod era;
mod front;
mod instructions;
mod parcel;
mod present;
mod request;
mod server;

pub use alone::{Notices, Single};
pub use announce::Audience;
pub use downstream::trace_of;
pub use front::front;
pub use parcel::Parcels;
pub use present::{INSUFFICIENT_SCOPE, to_json};
pub use request::{ASKED_ABOUT, OURS, REMOVED};
pub use server::{OverHttp, Server, Wire};
