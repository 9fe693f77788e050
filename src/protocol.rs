//! MCP on top of the gateway: methods in, answers out, for both eras of the protocol.
//!
//! The SDK's service loop dispatches; descriptors pass as the JSON the catalog rendered, because
//! the SDK's `Tool` would drop members it does not know (`securitySchemes`).

mod announce;
mod era;
mod present;
mod server;
mod tools;

pub use announce::Audience;
pub use present::to_json;
pub use server::{OverHttp, Server, Wire};
pub use tools::LIST_TOOLS;
